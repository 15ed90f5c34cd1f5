"""Replay of events that the log no longer has."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from parley_events import CloudEvent, Gap, Subscriber, TurnEnded
from parley_events.log_reader import ACKNOWLEDGE_AFTER, PREFETCH
from parley_events.offsets import FileOffsets, Start
from parley_events.replay import LogReplay
from parley_events.testing import InProcessBus, sample
from parley_events.topology import EVENT_LOG
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.virtual_time import virtual_time


async def bus_with(count: int = 10) -> InProcessBus:
    """Return a bus whose log has the sequences 0 and up, each at the offset of the same number."""
    bus = InProcessBus()
    await bus.publish(*(sample(TurnEnded, key="k", sequence=number) for number in range(count)))
    return bus


def sequences(handler: RecordingHandler) -> list[int]:
    return [event.sequence for event in handler.seen]


def replay_of(bus: InProcessBus, handler: Callable[[CloudEvent], Awaitable[None]], **options: Any) -> LogReplay:
    return LogReplay("amqp://broker/", handler, connect=bus.connect, **options)


async def test_a_saved_offset_that_the_log_no_longer_has_is_reported_before_the_first_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bus, handler, gaps, offsets = await bus_with(), RecordingHandler(), list[tuple[Gap, int]](), FileOffsets(tmp_path)
    await offsets.save_offset("replay", 2)
    bus.log.drop_oldest(6)

    async def on_gap(gap: Gap) -> None:
        gaps.append((gap, len(handler.seen)))

    replay = replay_of(bus, handler, offsets=offsets, on_gap=on_gap)
    assert await replay.run("first", idle=0.1) == 10
    assert sequences(handler) == [6, 7, 8, 9]
    assert gaps == [(Gap(EVENT_LOG, "", 2, 5, of_log=True), 0)]
    assert [record.getMessage() for record in caplog.records] == ["events_missing"]
    assert (vars(caplog.records[0])["first"], vars(caplog.records[0])["last"]) == (2, 5)


@pytest.mark.parametrize(
    ("since", "until", "expected"), [(0, 3, (0, 2)), (0, 8, (0, 5)), (6, "now", None), ("first", "now", None)]
)
def test_a_replay_reports_the_missing_offsets_between_its_ends(
    since: Start, until: Any, expected: tuple[int, int] | None
) -> None:
    @virtual_time
    async def scenario() -> None:
        bus, gaps = await bus_with(), list[tuple[int, int]]()
        bus.log.drop_oldest(6)

        async def on_gap(gap: Gap) -> None:
            gaps.append((gap.first, gap.last))

        await replay_of(bus, RecordingHandler(), on_gap=on_gap).run(since, until=until)
        assert gaps == ([expected] if expected else [])

    scenario()


@virtual_time
async def test_events_that_the_log_deletes_while_a_replay_is_disconnected_are_a_gap() -> None:
    bus, handled, gaps = await bus_with(2 * PREFETCH), list[int](), list[tuple[int, int]]()

    async def handler(event: CloudEvent) -> None:
        handled.append(event.sequence)
        if event.sequence == 2:
            bus.log.drop_oldest(PREFETCH + 20)
            bus.disconnect()

    async def on_gap(gap: Gap) -> None:
        gaps.append((gap.first, gap.last))

    assert await replay_of(bus, handler, on_gap=on_gap).run("first") == 2 * PREFETCH
    # The loss is noticed at the next acknowledgement.
    assert handled == [*range(ACKNOWLEDGE_AFTER), *range(PREFETCH + 20, 2 * PREFETCH)]
    assert gaps == [(ACKNOWLEDGE_AFTER, PREFETCH + 19)]


@virtual_time
async def test_an_offset_without_an_event_inside_the_log_is_no_gap() -> None:
    bus, handler, gaps = await bus_with(), RecordingHandler(), list[Gap]()
    for message in bus.log.messages[4:]:
        message.position += 1

    async def on_gap(gap: Gap) -> None:
        gaps.append(gap)

    await replay_of(bus, handler, on_gap=on_gap).run(4)
    assert (sequences(handler), gaps) == ([4, 5, 6, 7, 8, 9], [])


async def test_an_error_of_on_gap_ends_the_replay_and_leaves_the_saved_offset(tmp_path: Path) -> None:
    bus, handler, offsets = await bus_with(), RecordingHandler(), FileOffsets(tmp_path)
    await offsets.save_offset("replay", 2)
    bus.log.drop_oldest(6)

    async def on_gap(_gap: Gap) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await replay_of(bus, handler, offsets=offsets, on_gap=on_gap).run("first", idle=0.1)
    assert (handler.seen, await offsets.load_offset("replay")) == ([], 2)


@virtual_time
async def test_a_subscriber_gets_the_gap_of_a_replay_and_cannot_refill_it() -> None:
    bus, missing = await bus_with(), list[int]()
    bus.log.drop_oldest(6)

    async def fill(gap: Gap) -> None:
        missing.append(await subscriber.refill(gap))

    subscriber = Subscriber("amqp://broker/", "sub.team.q", connect=bus.connect, on_gap=fill)
    assert await subscriber.replay(2) == 10
    assert missing == [4]
