"""Password reset service: issuing and using reset tokens."""

from datetime import datetime
from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.mail.notices import SecurityEvent, SecurityNotices
from auth.password_resets.store import PasswordResetStore
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy
from parley.errors import FieldError, NotFound, ValidationFailed

RESET_TOKEN_LIFETIME = 3600
"""Seconds."""


class PasswordResetService:
    """Issues password reset tokens and sets new passwords with them."""

    def __init__(
        self,
        resets: PasswordResetStore,
        hasher: PasswordHasher,
        policy: PasswordPolicy,
        revocations: RevocationService,
        notices: SecurityNotices,
    ) -> None:
        self._resets, self._hasher = resets, hasher
        self._policy, self._revocations, self._notices = policy, revocations, notices

    async def issue(self, user_id: UUID, origin: RequestOrigin) -> tuple[str, datetime]:
        """Return a new token and its expiry; earlier tokens of the account stop working. Raises NotFound."""
        token = secret_tokens.new_reset_token()
        expires_at = await self._resets.issue(user_id, secret_tokens.digest(token), RESET_TOKEN_LIFETIME, origin)
        if expires_at is None:
            raise NotFound
        return token, expires_at

    async def use(self, token: str, password: str, origin: RequestOrigin, *, end_api_keys: bool = True) -> None:
        """Set a new password, and end every session and the API keys made since the last change.

        Raises ValidationFailed or PasswordTooWeak.
        """
        digest = secret_tokens.digest(token)
        user = await self._resets.find(digest)
        if user is None:
            raise _invalid()
        self._policy.check(password, names=[user.username, user.email or ""], pointer="/new_password")
        hashed = await self._hasher.hash(password)
        if not await self._resets.use(digest, hashed, origin, end_api_keys=end_api_keys):
            raise _invalid()
        await self._revocations.push()
        self._notices.send(SecurityEvent.PASSWORD_CHANGED, user.recipient(), origin)


def _invalid() -> ValidationFailed:
    return ValidationFailed(
        [FieldError("/reset_token", "invalid", "The reset token is unknown, used or expired. Request a new one.")]
    )
