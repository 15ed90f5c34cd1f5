"""Accounts made without the API: by the launcher and by the command line."""

from collections.abc import Sequence

from auth import names
from auth.errors import AccountExists
from auth.model import OPERATOR, User
from auth.ports import Users
from auth.scopes import PERSONAL
from auth.service.accounts import Accounts


async def ensure_user(
    accounts: Accounts,
    users: Users,
    *,
    username: str,
    password: str,
    email: str | None = None,
    scopes: Sequence[str] = PERSONAL,
) -> User:
    """Return the account of that name, made with the password and scopes when there is none.

    An account that exists is left as it is, whatever its password. Raises PasswordTooWeak, and AccountExists when
    somebody else has the e-mail address.
    """
    name = names.username(username)
    found = await users.by_login(names.key(name))
    if found is not None:
        return found
    address = names.email(email) if email else None
    try:
        return await accounts.create(
            username=name, email=address, password=password, origin=OPERATOR, scopes=tuple(scopes)
        )
    except AccountExists:
        # Another replica was faster.
        found = await users.by_login(names.key(name))
        if found is None:
            raise
        return found
