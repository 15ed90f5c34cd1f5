"""In-memory store of revocations, and the cache that gateways read."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from auth.revocations.model import Revocation
from auth.revocations.store import CacheState
from auth_testing.memory_database import MemoryDatabase


class MemoryRevocationStore:
    """Revocations in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def unpushed(self) -> Sequence[Revocation]:
        return [found for found in self._live() if (found.kind, found.subject) in self._database.unpushed]

    async def live(self, after: Revocation | None, limit: int) -> Sequence[Revocation]:
        found = sorted(self._live(), key=_position)
        return [one for one in found if after is None or _position(one) > _position(after)][:limit]

    async def mark_pushed(self, done: Sequence[Revocation]) -> None:
        for found in done:
            stored = self._database.revocations.get((found.kind, found.subject))
            if stored is not None and stored.not_before == found.not_before:
                self._database.unpushed.discard((found.kind, found.subject))

    async def find_revoked(self, sessions: Sequence[UUID], users: Mapping[UUID, int]) -> tuple[list[UUID], list[UUID]]:
        live = {(found.kind, found.subject): found for found in self._live()}
        ended = [session for session in sessions if ("session", session) in live]
        cutoffs = {user: live["user", user].not_before for user in users if ("user", user) in live}
        return ended, [user for user, cutoff in cutoffs.items() if users[user] <= cutoff]

    async def purge(self) -> int:
        now = self._database.clock()
        expired = [key for key, found in self._database.revocations.items() if found.expires_at < now]
        for key in expired:
            del self._database.revocations[key]
        return len(expired)

    def _live(self) -> list[Revocation]:
        now = self._database.clock()
        return [found for found in self._database.revocations.values() if found.expires_at > now]


def _position(found: Revocation) -> tuple[str, UUID]:
    return found.kind, found.subject


class MemoryRevocationCache:
    """The cache that gateways read, in memory; ``restart`` loses its content."""

    def __init__(self) -> None:
        self.entries: dict[tuple[str, UUID], int] = {}
        self._run, self._complete = 1, False

    def restart(self) -> None:
        self.entries, self._run, self._complete = {}, self._run + 1, False

    async def state(self) -> CacheState:
        return CacheState(str(self._run), self._complete)

    async def write(self, revocations: Sequence[Revocation]) -> None:
        self.entries |= {(found.kind, found.subject): found.not_before for found in revocations}

    async def complete(self) -> None:
        self._complete = True
