"""Frames and whole answers of Anthropic's and OpenAI's chat protocols fit the schemas that others publish."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

from chat.api.folded_stream import folded_events
from chat.model import LogEntry
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.anthropic_messages.message import message
from chat.protocols.openai_chat.projection import completion
from chat.running.tool_calls import join_calls
from chat.running.turn_updates import StreamStarted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.published_schemas import check
from chat_testing.turns import ended_turn, make_turn
from parley_events.parts import Usage

USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=2, reasoning_tokens=1)
MESSAGE_EVENTS = {
    "message_start": "MessageStartEvent",
    "content_block_start": "ContentBlockStartEvent",
    "content_block_delta": "ContentBlockDeltaEvent",
    "content_block_stop": "ContentBlockStopEvent",
    "message_delta": "MessageDeltaEvent",
    "message_stop": "MessageStopEvent",
}


def call(index: int, arguments: str, *, first: bool) -> LogEntry:
    head = {"id": f"call_{index}", "type": "function"} if first else {}
    function = {"arguments": arguments, **({"name": f"f{index}"} if first else {})}
    return LogEntry("", ({"index": index, **head, "function": function},))


LOG = (
    LogEntry(reasoning="Hm"),
    LogEntry("Hi"),
    call(0, '{"a"', first=True),
    call(0, ":1}", first=False),
    call(1, "{}", first=True),
)
RUNNING = make_turn()


ENDED = replace(
    ended_turn(RUNNING),
    finish_reason="tool_calls",
    entries=LOG,
    content="Hi",
    tool_calls=join_calls(LOG),
    usage=USAGE,
)


async def frames_of(events: MessageEvents) -> list[dict[str, Any]]:
    async def updates() -> AsyncGenerator[TurnUpdate, None]:
        yield StreamStarted(RUNNING)
        yield TurnDelta(2, LOG)
        yield TurnFinished(ENDED.last_seq, ENDED)

    chunks = folded_events(RUNNING, updates(), events, holds=False, moves=False)
    lines = "".join([chunk.decode() async for chunk in chunks]).split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


async def test_events_of_a_message_fit_the_schemas_of_anthropic() -> None:
    frames = await frames_of(MessageEvents(RUNNING))
    for frame in frames:
        if frame["type"] != "ping":
            check("anthropic.json", MESSAGE_EVENTS[frame["type"]], frame)
    check("anthropic.json", "Message", message(ENDED))


def test_a_completion_fits_the_schema_of_openai() -> None:
    check("openai_chat.json", "CreateChatCompletionResponse", completion(ENDED))
