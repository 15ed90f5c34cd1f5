"""Accounts made without the API: by the launcher and by the command line."""

from collections.abc import Sequence

from auth import names
from auth.errors import AccountExists
from auth.model import OPERATOR, User
from auth.scopes import PERSONAL
from auth.wiring import Wired


async def ensure_user(
    auth: Wired,
    *,
    username: str,
    password: str,
    email: str | None = None,
    scopes: Sequence[str] = PERSONAL,
) -> User:
    """Return the account of that name, made with password and scopes when there is none; ``auth`` is what was wired.

    An account that exists is left as it is, whatever its password. Raises PasswordTooWeak, and AccountExists when
    somebody else has the e-mail address.
    """
    name = names.username(username)
    found = await auth.stores.users.by_login(names.key(name))
    if found is not None:
        return found
    address = names.email(email) if email else None
    try:
        return await auth.accounts.create(
            username=name, email=address, password=password, origin=OPERATOR, scopes=tuple(scopes)
        )
    except AccountExists:
        # Another replica was faster.
        found = await auth.stores.users.by_login(names.key(name))
        if found is None:
            raise
        return found
