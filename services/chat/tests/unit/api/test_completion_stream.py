"""Streams in OpenAI's format, and their rest behind the events that a reader has received."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from chat.api.completion_stream import PING, completion_events
from chat.errors import ProviderFailure, TurnPending
from chat.model import LogEntry, Turn
from chat.protocols.openai_chat.projection import CompletionChunks
from chat.protocols.sse import MOVED
from chat.running.turn_updates import DirectDeltas, StreamIdle, StreamInterrupted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.turns import ended_turn, make_turn


async def streamed(
    turn: Turn, *updates: TurnUpdate, received: int | None = None, moves: bool = False, include_usage: bool = True
) -> list[bytes]:
    async def source() -> AsyncGenerator[TurnUpdate, None]:
        for update in updates:
            yield update

    chunks = completion_events(turn, source(), include_usage=include_usage, received=received, moves=moves)
    return [chunk async for chunk in chunks]


@pytest.mark.parametrize("include_usage", [False, True])
async def test_the_rest_behind_every_event_completes_the_stream(*, include_usage: bool) -> None:
    turn = ended_turn(make_turn(), "Hel", "lo")
    parts = await streamed(turn, TurnDelta(2, turn.entries), TurnFinished(4, turn), include_usage=include_usage)
    whole = b"".join(parts)
    events = whole.count(b"\n\n")
    assert events == 5 + include_usage
    for received in range(events + 1):
        seen = b"".join(f"{event}\n\n".encode() for event in whole.decode().split("\n\n")[:received])
        cursor = max(1, min(received, turn.last_seq))
        updates = [TurnDelta(cursor + 1, rest)] if (rest := turn.entries[cursor - 1 :]) else []
        rest_parts = await streamed(
            turn, *updates, TurnFinished(4, turn), received=received, include_usage=include_usage
        )
        assert seen + b"".join(rest_parts) == whole


async def test_readers_who_have_more_than_was_stored_of_a_lost_log_receive_its_end() -> None:
    turn = replace(ended_turn(make_turn(), "Hel"), log_lost=True)
    (last,) = await streamed(turn, TurnFinished(3, turn), received=9)
    assert last.endswith(b"data: [DONE]\n\n")
    assert last.count(b"\n\n") == 3


async def test_an_error_before_the_first_event_is_raised_only_while_no_status_was_sent() -> None:
    turn = replace(ended_turn(make_turn()), finish_reason="error", status="failed")
    with pytest.raises(ProviderFailure):
        await streamed(turn, TurnFinished(2, turn))
    with pytest.raises(TurnPending):
        await streamed(turn, StreamInterrupted("interrupted"), moves=True)
    (rest,) = await streamed(turn, TurnFinished(2, turn), received=0)
    assert b'"error"' in rest


async def test_the_gateway_is_asked_to_continue_a_stream_that_has_begun() -> None:
    turn = make_turn()
    assert await streamed(turn, StreamInterrupted("draining"), received=3, moves=True) == [MOVED]
    (error,) = await streamed(turn, StreamInterrupted("interrupted", "finish_pending"), received=3, moves=True)
    assert b'"finish_pending"' in error


async def test_a_resumed_stream_pings_at_once_and_a_new_one_after_its_first_event() -> None:
    turn = make_turn()
    assert await streamed(turn, StreamIdle(), received=3) == [PING]
    assert await streamed(turn, StreamIdle()) == []


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(
    ("entry", "delta"),
    [
        (LogEntry('"delta":{} \u2028'), {"content": '"delta":{} \u2028'}),
        (LogEntry("", ({"index": 0},)), {"tool_calls": [{"index": 0}]}),
        (LogEntry(reasoning="why"), {"reasoning_content": "why"}),
    ],
)
def test_the_chunk_of_an_entry_has_the_members_of_every_chunk(
    entry: LogEntry, delta: dict[str, Any], *, include_usage: bool
) -> None:
    chunks = CompletionChunks(replace(make_turn(), model='"delta":{}'), include_usage=include_usage)
    first = orjson.loads(chunks.started())
    first["choices"][0]["delta"] = delta
    assert orjson.loads(chunks.delta(entry)) == first


async def test_entries_that_are_written_at_once_are_the_events_of_the_stream() -> None:
    turn, direct = ended_turn(make_turn(), "Hel", "lo", "!"), DirectDeltas()

    async def source() -> AsyncGenerator[TurnUpdate, None]:
        assert direct.render is None  # an error would still decide the status
        yield TurnDelta(2, turn.entries[:1])
        assert direct.render is not None
        written.append(direct.render(TurnDelta(3, turn.entries[1:])))
        yield TurnFinished(5, turn)

    written = list[bytes]()
    async for part in completion_events(turn, source(), include_usage=True, direct=direct):
        written.append(part)
    assert b"".join(written) == b"".join(await streamed(turn, TurnDelta(2, turn.entries), TurnFinished(5, turn)))
