"""Password reset service: issuing and using reset tokens."""

from auth.accounts.model import User
from auth.audit.model import RequestOrigin
from auth.email_verification.service import EmailVerificationService
from auth.mail.notices import SecurityEvent, SecurityNotices
from auth.password_resets.model import PasswordLink
from auth.password_resets.store import PasswordResetStore
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from auth.security.login_throttle import client_site
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy
from parley.errors import NotFound, ValidationFailed
from parley.field_errors import FieldError

RESET_TOKEN_LIFETIME = 3600
"""Seconds."""
INVITATION_LIFETIME = 7 * 86_400
"""Seconds in which the owner of an invited account can choose its first password."""


class PasswordResetService:
    """Issues password reset tokens and sets new passwords with them."""

    def __init__(
        self,
        resets: PasswordResetStore,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        revocations: RevocationService,
        notices: SecurityNotices,
        verification: EmailVerificationService,
        *,
        url: str,
    ) -> None:
        """``url`` is the page that gets the token."""
        self._resets, self._hasher, self._url = resets, hasher, url
        self._policy, self._revocations, self._notices = policy, revocations, notices
        self._verification = verification

    async def issue(self, user: User, origin: RequestOrigin) -> PasswordLink:
        """Return a new link; earlier ones of the account stop working. Raises NotFound.

        It expires after an hour, for an account without a password after seven days.
        """
        token = secret_tokens.new_reset_token()
        lifetime = INVITATION_LIFETIME if user.status == "invited" else RESET_TOKEN_LIFETIME
        expires_at = await self._resets.issue(user.id, secret_tokens.digest(token), lifetime, origin)
        if expires_at is None:
            raise NotFound
        return PasswordLink(token, f"{self._url}#token={token}", expires_at)

    async def use(self, token: str, password: str, origin: RequestOrigin, *, end_api_keys: bool = True) -> None:
        """Set a new password, and end every session and the API keys made since the last change.

        An invited account becomes active. Raises ValidationFailed or PasswordTooWeak.
        """
        digest = secret_tokens.digest(token)
        user = await self._resets.find(digest)
        if user is None:
            raise _invalid()
        self._policy.check(password, names=[user.username, user.email or ""], pointer="/new_password")
        hashed = await self._hasher.hash(password, client=client_site(origin.address))
        if not await self._resets.use(digest, hashed, origin, end_api_keys=end_api_keys):
            raise _invalid()
        await self._revocations.push()
        if user.status == "invited":
            await self._verification.try_send_link(user.id, origin)
        else:
            self._notices.send(SecurityEvent.PASSWORD_CHANGED, user.recipient(), origin)


def _invalid() -> ValidationFailed:
    return ValidationFailed(
        [FieldError("/reset_token", "invalid", "The reset token is unknown, used or expired. Request a new one.")]
    )
