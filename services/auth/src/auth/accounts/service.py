"""Accounts, as their owners see them."""

from collections.abc import Mapping, Sequence

from auth.accounts.login import Login
from auth.accounts.ports import NewUser, Users
from auth.errors import AccountDisabled, AccountExists, RegistrationClosed
from auth.model import OPERATOR, Origin, User
from auth.revocations.service import Revocations
from auth.security import identifiers
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy
from auth.security.scopes import PERSONAL
from parley.errors import FieldError, TokenInvalid, ValidationFailed
from parley.ids import new_id
from parley.security.identity import Principal


class Accounts:
    """Registers people and lets them change what is theirs."""

    def __init__(
        self,
        *,
        users: Users,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        login: Login,
        revocations: Revocations,
        registration_open: bool,
    ) -> None:
        """Take the accounts, the rules for passwords, and whether strangers may register."""
        self._users, self._hasher, self._policy = users, hasher, policy
        self._login, self._revocations = login, revocations
        self._open = registration_open

    async def register(
        self, *, username: str, email: str | None, display_name: str | None, password: str, origin: Origin
    ) -> User:
        """Make an account for a stranger; raises RegistrationClosed, PasswordTooWeak or AccountExists."""
        if not self._open:
            raise RegistrationClosed
        return await self.create(
            username=username, email=email, display_name=display_name, password=password, origin=origin
        )

    async def create(
        self,
        *,
        username: str,
        email: str | None,
        password: str,
        origin: Origin,
        display_name: str | None = None,
        scopes: tuple[str, ...] = PERSONAL,
    ) -> User:
        """Make an account; raises PasswordTooWeak or AccountExists."""
        self._policy.check(password, about=[username, *_parts(email)])
        hashed = await self._hasher.hash(password)
        return await self._users.add(NewUser(new_id(), username, email, display_name, hashed, scopes), origin)

    async def ensure(
        self, *, username: str, password: str, email: str | None = None, scopes: Sequence[str] = PERSONAL
    ) -> User:
        """Return the account of that name; create it with password and scopes when there is none.

        An existing account is left unchanged, whatever its password. Raises PasswordTooWeak, and AccountExists when
        another account has the e-mail address.
        """
        name = identifiers.username(username)
        found = await self._users.by_login(identifiers.key(name))
        if found is not None:
            return found
        address = identifiers.email(email) if email else None
        try:
            return await self.create(
                username=name, email=address, password=password, origin=OPERATOR, scopes=tuple(scopes)
            )
        except AccountExists:
            # Another replica was faster.
            found = await self._users.by_login(identifiers.key(name))
            if found is None:
                raise
            return found

    async def me(self, principal: Principal) -> User:
        """Return the caller's account; raises TokenInvalid or AccountDisabled."""
        return _usable(await self._users.by_id(principal.user_id))

    async def change(self, principal: Principal, changes: Mapping[str, str | None], origin: Origin) -> User:
        """Change the caller's name, address or display name; raises AccountExists."""
        await self.me(principal)
        return _usable(await self._users.change_profile(principal.user_id, changes, origin))

    async def change_password(self, principal: Principal, current: str, new: str, origin: Origin) -> None:
        """Set a new password and end the other sessions; raises ValidationFailed when the current one is wrong."""
        user = await self.me(principal)
        self._policy.check(new, about=[user.username, *_parts(user.email)], pointer="/new_password")
        if not await self._login.confirm(user, current, origin):
            raise ValidationFailed([FieldError("/current_password", "incorrect", "This is not the current password.")])
        hashed = await self._hasher.hash(new)
        await self._users.set_password(user.id, hashed, keep_session=principal.session_id, origin=origin)
        await self._revocations.push()


def _usable(user: User | None) -> User:
    if user is None:
        raise TokenInvalid
    if not user.active:
        raise AccountDisabled
    return user


def _parts(email: str | None) -> list[str]:
    return [email, email.partition("@")[0]] if email else []
