"""Replay of the event log: start, end, progress, lost connections, and failing handlers."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from parley_events import CloudEvent, TurnEnded
from parley_events import replay as replay_module
from parley_events.offsets import FileOffsets, Progress, Start
from parley_events.replay import REPORT_EVERY, LogReplay
from parley_events.testing import InProcessBus, sample
from parley_events.topology import TopologyError
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.virtual_time import virtual_time

Handler = Callable[[CloudEvent], Awaitable[None]]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)


class SavedOffset:
    """Keeps one offset."""

    def __init__(self, offset: int) -> None:
        self.offset = offset

    async def load_offset(self, name: str) -> int | None:
        del name
        return self.offset

    async def save_offset(self, name: str, offset: int) -> None:
        del name
        self.offset = offset


async def bus_with(count: int = 10) -> InProcessBus:
    """Return a bus whose log has the sequences 0 and up; each was published a minute after the one before."""
    bus = InProcessBus()
    await bus.publish(*(sample(TurnEnded, key="k", sequence=number) for number in range(count)))
    for position, message in enumerate(bus.log.messages):
        message.timestamp = NOON + timedelta(minutes=position)
    return bus


def sequences(handler: RecordingHandler) -> list[int]:
    return [event.sequence for event in handler.seen]


def replay_of(bus: InProcessBus, handler: Handler, **options: Any) -> LogReplay:
    return LogReplay("amqp://broker/", handler, connect=bus.connect, **options)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("first", "now", range(10)),
        (4, "now", range(4, 10)),
        (4, 7, range(4, 7)),
        (4, 99, range(4, 10)),
        (NOON + timedelta(minutes=7), "now", range(7, 10)),
        (NOON + timedelta(minutes=3), NOON + timedelta(minutes=6), range(3, 6)),
        ("next", "now", range(0)),
        (10, "now", range(0)),
    ],
)
def test_a_replay_handles_the_events_between_its_ends_and_returns_where_to_continue(
    since: Start, until: Any, expected: range
) -> None:
    @virtual_time
    async def scenario() -> None:
        handler = RecordingHandler()
        end = await replay_of(await bus_with(), handler).run(since, until=until)
        assert sequences(handler) == list(expected)
        assert end == (expected.stop if len(expected) else 10)

    scenario()


@virtual_time
async def test_a_replay_ends_although_events_keep_coming() -> None:
    bus, handled = await bus_with(), list[int]()

    async def handler(event: CloudEvent) -> None:
        handled.append(event.sequence)
        await bus.publish(sample(TurnEnded, key="k", sequence=len(handled) + 100))

    assert await replay_of(bus, handler).run("first") == 10
    assert handled == list(range(10))


@virtual_time
async def test_a_time_that_matches_nothing_continues_at_the_end_of_the_log() -> None:
    handler = RecordingHandler()
    assert await replay_of(await bus_with(), handler).run(NOON + timedelta(days=1)) == 10
    assert not handler.seen


@virtual_time
async def test_an_event_that_happened_early_and_was_published_late_is_not_skipped() -> None:
    bus, handler = await bus_with(), RecordingHandler()
    bus.log.messages[8].headers["ce-time"] = (NOON - timedelta(days=1)).isoformat()
    await replay_of(bus, handler).run(NOON + timedelta(minutes=7))
    assert sequences(handler) == [7, 8, 9]


@pytest.mark.parametrize(("since", "end"), [(7, 7), ("first", 0), (NOON, 0)])
def test_an_empty_log_ends_where_the_replay_started(since: Start, end: int) -> None:
    @virtual_time
    async def scenario() -> None:
        assert await replay_of(await bus_with(0), RecordingHandler()).run(since) == end

    scenario()


@pytest.mark.parametrize("options", [{"since": NAIVE}, {"since": "first", "until": NAIVE}])
async def test_a_time_without_a_time_zone_is_refused_with_a_remedy(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"without a time zone\. Add one"):
        await replay_of(InProcessBus(), RecordingHandler()).run(**options)


@virtual_time
async def test_a_lost_connection_repeats_and_skips_no_event() -> None:
    bus, handled = await bus_with(), list[int]()

    async def handler(event: CloudEvent) -> None:
        handled.append(event.sequence)
        if event.sequence == 4:
            bus.disconnect()

    assert await replay_of(bus, handler).run("first") == 10
    assert handled == list(range(10))


async def test_a_replay_that_crashed_continues_at_its_stored_offset(tmp_path: Path) -> None:
    bus, offsets, progress = await bus_with(), FileOffsets(tmp_path), list[Progress]()

    async def crash(event: CloudEvent) -> None:
        if event.sequence == 3:
            raise MemoryError

    with pytest.raises(MemoryError) as failure:
        await replay_of(bus, crash, offsets=offsets, name="sub.q").run("first", idle=0.1)
    assert "at offset 3 of parley.log" in failure.value.__notes__[0]
    handler = RecordingHandler()
    replay = replay_of(bus, handler, offsets=offsets, name="sub.q", on_progress=progress.append)
    assert await replay.run("first", idle=0.1) == 10
    assert sequences(handler) == list(range(3, 10))
    assert progress == [Progress(offset=10, end=10, handled=7)]


@pytest.mark.parametrize("failing", ["offsets", "progress"])
async def test_a_callback_that_fails_ends_the_replay_with_its_error_and_is_no_outage(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullDisk(SavedOffset):
        async def save_offset(self, name: str, offset: int) -> None:
            raise OSError(28, "No space left on device")

    def progress(_progress: Progress) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replay_module, "REPORT_EVERY", 2)
    handler = RecordingHandler()
    options: dict[str, Any] = {"offsets": FullDisk(0)} if failing == "offsets" else {"on_progress": progress}
    with pytest.raises(OSError, match="No space left"):
        await replay_of(await bus_with(), handler, **options).run("first", idle=0.1)
    assert sequences(handler) == [0, 1]


@pytest.mark.parametrize("until", ["now", "never"])
def test_a_saved_offset_behind_the_end_of_the_log_is_refused_with_a_remedy(until: Any) -> None:
    @virtual_time
    async def scenario() -> None:
        handler, offsets = RecordingHandler(), SavedOffset(11)
        replay = replay_of(await bus_with(), handler, offsets=offsets)
        async with asyncio.timeout(600):
            with pytest.raises(TopologyError, match=r"ends at offset 10, before offset 11.* Delete the saved offset"):
                await replay.run("first", until=until)
        assert not handler.seen
        assert offsets.offset == 11

    scenario()


@virtual_time
async def test_a_log_that_starts_anew_during_a_replay_ends_it() -> None:
    bus, handled = await bus_with(), list[int]()

    async def handler(event: CloudEvent) -> None:
        handled.append(event.sequence)
        if event.sequence == 9:
            del bus.log.messages[3:]
            bus.disconnect()

    async with asyncio.timeout(600):
        with pytest.raises(TopologyError, match="ends at offset 3, before offset 10"):
            await replay_of(bus, handler).run("first", until="never")
    assert handled == list(range(10))


@virtual_time
async def test_progress_is_reported_while_the_replay_runs() -> None:
    bus, progress = await bus_with(2 * REPORT_EVERY + 1), list[Progress]()
    await replay_of(bus, RecordingHandler(), on_progress=progress.append).run("first")
    assert [each.handled for each in progress] == [REPORT_EVERY, 2 * REPORT_EVERY, 2 * REPORT_EVERY + 1]
    assert {each.end for each in progress} == {2 * REPORT_EVERY + 1}


@virtual_time
async def test_a_malformed_message_is_skipped() -> None:
    bus, handler = await bus_with(), RecordingHandler()
    del bus.log.messages[3].headers["ce-type"]
    assert await replay_of(bus, handler).run("first") == 10
    assert sequences(handler) == [0, 1, 2, 4, 5, 6, 7, 8, 9]


@virtual_time
async def test_a_broker_that_is_down_is_waited_for() -> None:
    bus, handler = await bus_with(), RecordingHandler()
    bus.is_down = True
    asyncio.get_running_loop().call_later(10, setattr, bus, "is_down", False)
    assert await replay_of(bus, handler).run("first") == 10
