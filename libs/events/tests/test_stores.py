"""Idempotency stores: each event once, in the handler's transaction; sequences and offsets."""

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from parley_events import TurnEnded
from parley_events.gaps import GapDetector
from parley_events.stores.redis import EventIsRunning, RedisStore
from parley_events.stores.sqlite import SqliteStore
from parley_events.testing import sample


class FakeRedis:
    """The commands that the store uses."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    async def set(self, name: str, value: Any, *, nx: bool = False, ex: timedelta | None = None) -> bool | None:
        if nx and name in self.values:
            return None
        self.values[name] = value
        return True

    async def get(self, name: str) -> Any:
        return self.values.get(name)

    async def delete(self, name: str) -> None:
        self.values.pop(name, None)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "redis":
        yield RedisStore(FakeRedis())
        return
    made = SqliteStore(tmp_path / "events.db")
    yield made
    made.close()


async def test_an_event_is_handled_once(store: Any) -> None:
    event, handled = sample(TurnEnded), list[bool]()
    for _ in range(3):
        async with store.once(event) as transaction:
            handled.append(transaction is not None)
    assert handled == [True, False, False]


async def test_an_event_whose_handler_failed_is_handled_again(store: Any) -> None:
    event = sample(TurnEnded)
    with pytest.raises(RuntimeError):
        async with store.once(event):
            raise RuntimeError
    async with store.once(event) as transaction:
        assert transaction is not None


async def test_sequences_and_offsets_are_kept(store: Any) -> None:
    assert await store.last_sequence("/services/chat", "k") is None
    assert await store.load_offset("sub.q") is None
    await store.save_sequence("/services/chat", "k", 7)
    await store.save_sequence("/services/chat", "k", 5)  # a republished event
    await store.save_offset("sub.q", 42)
    assert await store.last_sequence("/services/chat", "k") == 7
    assert await store.load_offset("sub.q") == 42


async def test_a_gap_over_a_restart_is_found_with_stored_sequences(store: Any) -> None:
    gaps: list[tuple[int, int]] = []

    async def note(gap: Any) -> None:
        gaps.append((gap.first, gap.last))

    for sequence in (1, 2, 5):
        detector = GapDetector(note, store)  # a new process each time
        event = sample(TurnEnded, key="k", sequence=sequence)
        await detector.check(event)
        await detector.note_handled(event)
    assert gaps == [(3, 4)]


async def test_the_effect_of_a_failed_handler_is_rolled_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "app.db")
    async with store.once(sample(TurnEnded)) as database:
        assert database is not None
        database.execute("CREATE TABLE turns (id TEXT)")

    async def fail() -> None:
        async with store.once(sample(TurnEnded)) as database:
            assert database is not None
            database.execute("INSERT INTO turns VALUES ('x')")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    async with store.once(sample(TurnEnded)) as database:
        assert database is not None
        assert database.execute("SELECT count(*) FROM turns").fetchone() == (0,)
    assert await store.forget(timedelta(seconds=-1)) == 2
    store.close()


async def test_a_commit_that_fails_is_rolled_back_and_the_event_is_handled_again(tmp_path: Path) -> None:
    path, event = tmp_path / "app.db", sample(TurnEnded)
    store, reader = SqliteStore(path), sqlite3.connect(path, isolation_level=None)

    async def handle() -> bool:
        async with store.once(event) as database:
            if database is not None:
                database.execute("PRAGMA busy_timeout = 0")
            return database is not None

    reader.execute("BEGIN")
    reader.execute("SELECT * FROM parley_handled_events").fetchall()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        await handle()
    reader.close()
    assert [await handle(), await handle()] == [True, False]
    store.close()


async def test_an_event_that_runs_elsewhere_is_tried_again_later() -> None:
    store, event = RedisStore(FakeRedis()), sample(TurnEnded)
    async with store.once(event):
        with pytest.raises(EventIsRunning):
            async with store.once(event):
                await asyncio.sleep(0)
