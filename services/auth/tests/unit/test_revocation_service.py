"""Copies of revocations and checks against the store, over an in-memory store and cache."""

import asyncio
from collections.abc import Sequence

import pytest

from auth.revocations.model import Revocation
from auth.revocations.service import BATCH_SIZE, COPY_INTERVAL, RevocationService
from auth_testing.memory_database import MemoryDatabase
from auth_testing.memory_revocations import MemoryRevocationCache, MemoryRevocationStore
from parley.errors import DependencyUnavailable
from parley.ids import new_id
from parley_testing.fakes.manual_clock import ManualClock


class UnreliableCache(MemoryRevocationCache):
    """A cache that can be unavailable, and that records the size of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.available = True
        self.refused = 0
        self.batches: list[int] = []
        self.fails_after: int | None = None

    async def write(self, revocations: Sequence[Revocation]) -> None:
        if not self.available:
            self.refused += 1
            raise DependencyUnavailable
        if len(self.batches) == self.fails_after:
            self.fails_after = None
            raise DependencyUnavailable
        self.batches.append(len(revocations))
        await super().write(revocations)


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase()


@pytest.fixture
def cache() -> UnreliableCache:
    return UnreliableCache()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def service(database: MemoryDatabase, cache: UnreliableCache, clock: ManualClock) -> RevocationService:
    return RevocationService(MemoryRevocationStore(database), cache, clock=clock)


def revoke_sessions(database: MemoryDatabase, count: int) -> None:
    for _ in range(count):
        database.revoke("session", new_id())


async def test_a_push_copies_only_new_revocations(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService
) -> None:
    for _ in range(2):
        database.revoke("session", new_id())
        await service.push()
    assert cache.batches == [1, 1]
    assert len(cache.entries) == 2


async def test_a_failed_push_is_repeated_by_the_next_synchronisation(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService
) -> None:
    session_id = new_id()
    database.revoke("session", session_id)
    cache.available = False
    await service.push()
    assert cache.entries == {}
    cache.available = True
    await service.synchronise()
    assert ("session", session_id) in cache.entries


async def test_pushes_do_not_wait_in_turn_for_a_cache_that_is_away(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService, clock: ManualClock
) -> None:
    database.revoke("session", new_id())
    cache.available = False
    await asyncio.gather(*(service.push() for _ in range(20)))
    assert cache.refused == 1
    clock.now += COPY_INTERVAL
    cache.available = True
    await service.push()
    assert len(cache.entries) == 1


async def test_a_restarted_cache_gets_every_live_revocation_again(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService
) -> None:
    database.revoke("session", new_id())
    await service.synchronise()
    assert (await cache.state()).is_complete
    before = dict(cache.entries)
    cache.restart()
    await service.synchronise()
    assert cache.entries == before
    assert (await cache.state()).is_complete


async def test_many_revocations_are_copied_in_batches(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService
) -> None:
    revoke_sessions(database, 2 * BATCH_SIZE + 1)
    await service.push()
    assert cache.batches == [BATCH_SIZE, BATCH_SIZE, 1]


async def test_a_copy_of_everything_goes_on_after_a_failure_where_it_has_come_to(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService
) -> None:
    revoke_sessions(database, 3 * BATCH_SIZE)
    cache.fails_after = 2
    with pytest.raises(DependencyUnavailable):
        await service.synchronise()
    assert not (await cache.state()).is_complete
    await service.synchronise()
    assert cache.batches == [BATCH_SIZE] * 3
    assert len(cache.entries) == 3 * BATCH_SIZE
    assert (await cache.state()).is_complete


async def test_a_cache_that_restarts_while_everything_is_copied_is_copied_to_again(
    database: MemoryDatabase, cache: UnreliableCache, service: RevocationService
) -> None:
    revoke_sessions(database, 2 * BATCH_SIZE)
    cache.fails_after = 1
    with pytest.raises(DependencyUnavailable):
        await service.synchronise()
    cache.restart()
    await service.synchronise()
    assert len(cache.entries) == 2 * BATCH_SIZE


async def test_a_check_finds_sessions_and_users_and_ignores_malformed_ids(
    database: MemoryDatabase, service: RevocationService
) -> None:
    session_id, user_id, other = new_id(), new_id(), new_id()
    database.revoke("session", session_id)
    database.revoke("user", user_id, 1000)
    sessions = [str(session_id), str(other), "malformed"]
    for issued_at, revoked in ((999, [str(user_id)]), (1000, [str(user_id)]), (1001, [])):
        users = {str(user_id): issued_at, str(other): 0, "malformed": 0}
        assert await service.find_revoked(sessions, users) == ([str(session_id)], revoked)
