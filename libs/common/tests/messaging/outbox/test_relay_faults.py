"""Two relay processes on one database: the other takes over from a leader that is killed or frozen."""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from parley.storage.postgres import Pool
from parley_testing.faults import processes
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration

KEYS, EACH = 40, 100
TAKEOVER_TIMEOUT = 15.0
FROZEN_TAKEOVER_TIMEOUT = 30.0
"""Seconds. A frozen leader keeps the lock until its session has been idle for ten, after a statement of up to five."""
StartRelay = Callable[[], "subprocess.Popen[bytes]"]


class Line(NamedTuple):
    pid: int
    key: str
    sequence: int


class PublishedEvents:
    """The events that the relays have published, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[Line]:
        if not self.path.exists():
            return []
        words = (line.split() for line in self.path.read_text().splitlines())
        return [Line(int(pid), key, int(sequence)) for pid, key, sequence in words]

    def by(self, process: "subprocess.Popen[bytes]") -> int:
        return sum(line.pid == process.pid for line in self.lines())

    def first_occurrences(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = defaultdict(list)
        for line in self.lines():
            if line.sequence not in found[line.key]:
                found[line.key].append(line.sequence)
        return found


@pytest.fixture
def published(tmp_path: Path) -> PublishedEvents:
    return PublishedEvents(tmp_path / "published")


@pytest.fixture
def start_relay(dsn: str, published: PublishedEvents) -> Iterator[StartRelay]:
    started: list[subprocess.Popen[bytes]] = []
    program = Path(__file__).with_name("relay_process.py")

    def start() -> "subprocess.Popen[bytes]":
        process = subprocess.Popen([sys.executable, program, dsn, published.path], stdout=subprocess.DEVNULL)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(10)


async def fill(pool: Pool) -> None:
    await pool.execute(
        "SELECT outbox_append(gen_random_uuid(), 'user.updated', 'k' || key, 'k' || key, '{}'::jsonb)"
        " FROM generate_series(1, $2) AS round, generate_series(1, $1) AS key",
        KEYS,
        EACH,
    )


async def is_drained(pool: Pool) -> bool:
    return not await pool.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL")


async def has_standby(pool: Pool) -> bool:
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'parley-relay'"
    return bool(await pool.fetchval(sessions + " AND datname = current_database()") == 2)


async def leader_and_follower(
    start_relay: StartRelay, published: PublishedEvents, pool: Pool
) -> tuple["subprocess.Popen[bytes]", "subprocess.Popen[bytes]"]:
    leader = start_relay()
    await pool.execute("SELECT outbox_append(gen_random_uuid(), 'user.updated', 'first', 'first', '{}'::jsonb)")
    await eventually(lambda: published.by(leader) == 1, within=20)
    follower = start_relay()
    await eventually(lambda: has_standby(pool), within=20)
    return leader, follower


def expected(rounds: int) -> dict[str, list[int]]:
    return {"first": [1], **{f"k{key}": list(range(1, rounds * EACH + 1)) for key in range(1, KEYS + 1)}}


async def test_another_relay_takes_over_from_a_killed_leader(
    start_relay: StartRelay, published: PublishedEvents, pool: Pool
) -> None:
    leader, follower = await leader_and_follower(start_relay, published, pool)
    await fill(pool)
    await eventually(lambda: published.by(leader) > 300, within=20)
    await processes.kill(leader)
    assert not await is_drained(pool), "the kill came too late to prove anything"
    await eventually(lambda: published.by(follower) > 0, within=TAKEOVER_TIMEOUT)
    await eventually(lambda: is_drained(pool), within=30)
    assert published.first_occurrences() == expected(1)


@pytest.mark.chaos
async def test_another_relay_takes_over_from_a_frozen_leader_that_later_wakes(
    start_relay: StartRelay, published: PublishedEvents, pool: Pool
) -> None:
    leader, follower = await leader_and_follower(start_relay, published, pool)
    await fill(pool)
    await eventually(lambda: published.by(leader) > 300, within=20)
    async with processes.frozen(leader):
        assert not await is_drained(pool), "the freeze came too late to prove anything"
        before = published.by(leader)
        await eventually(lambda: published.by(follower) > 0, within=FROZEN_TAKEOVER_TIMEOUT)
        assert published.by(leader) == before
    await fill(pool)
    await eventually(lambda: is_drained(pool), within=30)
    await eventually(lambda: has_standby(pool), within=20)
    assert published.first_occurrences() == expected(2)
    repeated = len(published.lines()) - 2 * KEYS * EACH
    assert repeated < KEYS * EACH, "both relays publish everything"
