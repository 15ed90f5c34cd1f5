"""Account service: registration, profile and password."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence

from auth.accounts.login import LoginService
from auth.accounts.model import NewUser, PasswordChange, User
from auth.accounts.store import AccountStore
from auth.audit.model import OPERATOR, RequestOrigin
from auth.email_verification.service import EmailVerificationService
from auth.errors import AccountDisabled, AccountExists, RegistrationClosed
from auth.mail.notices import SecurityEvent, SecurityNotices
from auth.revocations.service import RevocationService
from auth.security import identifiers
from auth.security.login_throttle import client_site
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy
from auth.security.reauthentication import require_recent_login
from auth.security.scopes import DEFAULT_SCOPES
from parley.config.plans import DEFAULT_PLAN
from parley.errors import TokenInvalid, ValidationFailed
from parley.field_errors import FieldError
from parley.ids import new_id, parse_id
from parley.security.identity import Principal


class AccountService:
    """Creates accounts, and changes the profile and password of the caller."""

    def __init__(
        self,
        *,
        accounts: AccountStore,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        login: LoginService,
        revocations: RevocationService,
        notices: SecurityNotices,
        verification: EmailVerificationService,
        registration_open: bool,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._accounts, self._hasher, self._policy = accounts, hasher, policy
        self._login, self._revocations = login, revocations
        self._notices, self._verification = notices, verification
        self._registration_open, self._clock = registration_open, clock

    async def register(
        self, *, username: str, email: str | None, display_name: str | None, password: str, origin: RequestOrigin
    ) -> User:
        """Create an account if registration is open; raises RegistrationClosed, PasswordTooWeak or AccountExists."""
        if not self._registration_open:
            raise RegistrationClosed
        return await self.create(
            username=username, email=email, display_name=display_name, password=password, origin=origin
        )

    async def create(
        self,
        *,
        username: str,
        email: str | None,
        password: str | None,
        origin: RequestOrigin,
        display_name: str | None = None,
        scopes: tuple[str, ...] = DEFAULT_SCOPES,
        plan: str = DEFAULT_PLAN,
    ) -> User:
        """Create an account, which is ``invited`` without a password; raises PasswordTooWeak or AccountExists."""
        if password is not None:
            self._policy.check(password, names=[username, *_email_parts(email)])
        # An invited account gets the hash of a random password, so that a login attempt takes as long as for any other.
        hashed = await self._hasher.hash(password or secrets.token_urlsafe(), client=client_site(origin.address))
        new = NewUser(
            new_id(),
            username,
            email,
            display_name,
            password_hash=hashed,
            scopes=scopes,
            plan=plan,
            status="invited" if password is None else "active",
        )
        user = await self._accounts.add(new, origin)
        await self._verification.try_send_link(user.id, origin)
        return user

    async def ensure(
        self, *, username: str, password: str, email: str | None = None, scopes: Sequence[str] = DEFAULT_SCOPES
    ) -> User:
        """Return the account of that name; create it with password and scopes when there is none.

        An existing account is left unchanged, whatever its password. Raises PasswordTooWeak, and AccountExists when
        another account has the e-mail address.
        """
        name = identifiers.username(username)
        found = await self._accounts.by_login(identifiers.key(name))
        if found is not None:
            return found
        address = identifiers.email(email) if email else None
        try:
            return await self.create(
                username=name, email=address, password=password, origin=OPERATOR, scopes=tuple(scopes)
            )
        except AccountExists:
            # Another replica created it in the meantime.
            found = await self._accounts.by_login(identifiers.key(name))
            if found is None:
                raise
            return found

    async def me(self, principal: Principal) -> User:
        """Return the caller's account; raises TokenInvalid or AccountDisabled."""
        return _require_active(await self._accounts.by_id(principal.user_id))

    async def change(self, principal: Principal, changes: Mapping[str, str | None], origin: RequestOrigin) -> User:
        """Change the caller's user name, e-mail address or display name.

        The old e-mail address is told of another one, and the new one gets a link to verify it. Raises AccountExists,
        and ReauthenticationRequired for another e-mail address without a recent login.
        """
        before = await self.me(principal)
        if changes.get("email", before.email) != before.email:
            require_recent_login(principal, self._clock())
        after = _require_active(await self._accounts.change_profile(principal.user_id, changes, origin))
        await self.announce_email(before, after, origin)
        return after

    async def announce_email(self, before: User, after: User, origin: RequestOrigin) -> None:
        """Notify the old e-mail address of the change, and mail a link that verifies the new one."""
        if after.email != before.email:
            self._notices.send(SecurityEvent.EMAIL_CHANGED, before.recipient(), origin)
            await self._verification.try_send_link(after.id, origin)

    async def change_password(
        self, principal: Principal, current: str, new: str, origin: RequestOrigin, *, end_api_keys: bool = True
    ) -> None:
        """Set a new password, and end the other sessions and the API keys made since the last change.

        Raises ReauthenticationRequired without a recent login, PasswordTooWeak, ValidationFailed if ``current`` is
        wrong, LoginThrottled or Overloaded.
        """
        user = await self.me(principal)
        require_recent_login(principal, self._clock())
        self._policy.check(new, names=[user.username, *_email_parts(user.email)], pointer="/new_password")
        confirmed = await self._login.confirm(user, current, origin)
        if confirmed is None:
            raise _wrong_password()
        change = PasswordChange(
            user.id,
            checked_hash=confirmed.password_hash,
            password_hash=await self._hasher.hash(new, client=client_site(origin.address)),
            keep_session=parse_id(principal.session_id),
            end_api_keys=end_api_keys,
        )
        # Another change, a reset or the end of the account may have come first while the new password was hashed.
        if not await self._accounts.set_password(change, origin):
            raise _wrong_password()
        await self._revocations.push()
        self._notices.send(SecurityEvent.PASSWORD_CHANGED, user.recipient(), origin)


def _require_active(user: User | None) -> User:
    if user is None:
        raise TokenInvalid
    if not user.active:
        raise AccountDisabled
    return user


def _wrong_password() -> ValidationFailed:
    return ValidationFailed([FieldError("/current_password", "incorrect", "The current password is wrong.")])


def _email_parts(email: str | None) -> list[str]:
    return [email, email.partition("@")[0]] if email else []
