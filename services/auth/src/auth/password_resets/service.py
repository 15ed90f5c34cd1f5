"""Helping people who forgot their password."""

from datetime import datetime
from uuid import UUID

from auth.model import Origin
from auth.password_resets.ports import Resets
from auth.revocations.service import Revocations
from auth.security import secret_tokens as tokens
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy
from parley.errors import FieldError, NotFound, ValidationFailed

LIFETIME = 3600
"""Seconds in which a reset token can be used."""


class ResetService:
    """Issues reset tokens and exchanges them for a new password."""

    def __init__(
        self, resets: Resets, hasher: PasswordHasher, policy: PasswordPolicy, revocations: Revocations
    ) -> None:
        """Take the store and the rules for passwords."""
        self._resets, self._hasher = resets, hasher
        self._policy, self._revocations = policy, revocations

    async def issue(self, user_id: UUID, origin: Origin) -> tuple[str, datetime]:
        """Return a new token, which voids earlier ones, and when it ends; raises NotFound."""
        token = tokens.new_reset_token()
        expires_at = await self._resets.issue(user_id, tokens.digest(token), LIFETIME, origin)
        if expires_at is None:
            raise NotFound
        return token, expires_at

    async def use(self, token: str, password: str, origin: Origin) -> None:
        """Set a new password and end every session; raises ValidationFailed or PasswordTooWeak."""
        digest = tokens.digest(token)
        user = await self._resets.find(digest)
        if user is None:
            raise _invalid()
        self._policy.check(password, about=[user.username, user.email or ""], pointer="/new_password")
        hashed = await self._hasher.hash(password)
        if not await self._resets.use(digest, hashed, origin):
            raise _invalid()
        await self._revocations.push()


def _invalid() -> ValidationFailed:
    return ValidationFailed(
        [FieldError("/reset_token", "invalid", "This token is not valid, was used or has expired.")]
    )
