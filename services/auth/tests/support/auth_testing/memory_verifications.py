"""In-memory store of e-mail verification tokens."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from auth.audit.model import RequestOrigin
from auth.email_verification.service import TOKEN_LIFETIME
from auth.email_verification.store import UnverifiedAddress
from auth_testing.memory_database import MemoryDatabase, StoredVerification


class MemoryEmailVerificationStore:
    """E-mail verification tokens in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def issue(
        self, user_id: UUID, digest: bytes, *, lifetime: int, interval: int, origin: RequestOrigin
    ) -> UnverifiedAddress | None:
        assert lifetime == TOKEN_LIFETIME
        user, now = self._database.users.get(user_id), self._database.clock()
        if user is None or not user.active or user.email is None or user.email_verified:
            return None
        recent = [
            found
            for found in self._database.verifications.values()
            if found.user_id == user_id and found.created_at > now - timedelta(seconds=interval)
        ]
        if recent:
            return None
        self._database.verifications[digest] = StoredVerification(user_id, user.email, now)
        self._database.record("email_verification.requested", origin, user_id)
        return UnverifiedAddress(user.username, user.email)

    async def use(self, digest: bytes, origin: RequestOrigin) -> bool:
        found = self._database.verifications.pop(digest, None)
        if found is None or found.created_at + timedelta(seconds=TOKEN_LIFETIME) <= self._database.clock():
            return False
        user = self._database.users[found.user_id]
        if user.email != found.email:
            return False
        self._database.users[user.id] = replace(user, email_verified=True)
        self._database.record("email.verified", origin, user.id)
        return True
