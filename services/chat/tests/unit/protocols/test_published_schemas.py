"""Frames and whole answers of every vendor's protocol fit the schemas that others publish, as in ``llm-comply``."""

import functools
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any

import llm_comply
from jsonschema import Draft202012Validator
from llm_comply.schema import SpecLoader
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from chat.api.folded_stream import folded_events
from chat.model import LogEntry
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.anthropic_messages.message import message
from chat.protocols.openai_chat.projection import completion
from chat.protocols.openai_responses.events import ResponseEvents
from chat.protocols.openai_responses.resource import response
from chat.running.tool_calls import join_calls
from chat.running.turn_updates import StreamStarted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.turns import ended_turn, make_turn
from parley_events.models import Usage

USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=2, reasoning_tokens=1)
SPECIFICATIONS = Path(llm_comply.__file__).with_name("specs")
RESPONSES, MESSAGES, COMPLETIONS = "openresponses.json", "anthropic.json", "openai_chat.json"
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


async def frames_of(events: ResponseEvents | MessageEvents) -> list[dict[str, Any]]:
    async def updates() -> AsyncGenerator[TurnUpdate, None]:
        yield StreamStarted(RUNNING)
        yield TurnDelta(2, LOG)
        yield TurnFinished(ENDED.last_seq, ENDED)

    chunks = folded_events(RUNNING, updates(), events, holds=False, moves=False)
    lines = "".join([chunk.decode() async for chunk in chunks]).split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@functools.cache
def document(name: str) -> tuple[Registry[Any], dict[str, Any]]:
    loader = SpecLoader(str(SPECIFICATIONS / name))
    schemas = {each: loader.get_schema(each) for each in loader.schema_names}
    found: Registry[Any] = Registry()
    resource = DRAFT202012.create_resource({"components": {"schemas": schemas}})
    return found.with_resource("urn:document", resource), schemas


def check(name: str, schema: str, found: Any) -> None:
    registry, _ = document(name)
    Draft202012Validator({"$ref": f"urn:document#/components/schemas/{schema}"}, registry=registry).validate(found)


async def test_events_of_a_response_fit_the_schemas_of_open_responses() -> None:
    _, schemas = document(RESPONSES)
    kinds = {
        schema["properties"]["type"]["enum"][0]: name
        for name, schema in schemas.items()
        if name.endswith("StreamingEvent")
    }
    frames = await frames_of(ResponseEvents(RUNNING))
    for frame in frames:
        check(RESPONSES, kinds[frame["type"]], frame)
    assert frames[-1]["type"] == "response.completed"
    check(RESPONSES, "ResponseResource", response(ENDED, ENDED.entries))
    check(RESPONSES, "ResponseResource", response(RUNNING, ()))


async def test_events_of_a_message_fit_the_schemas_of_anthropic() -> None:
    frames = await frames_of(MessageEvents(RUNNING))
    for frame in frames:
        if frame["type"] != "ping":
            check(MESSAGES, MESSAGE_EVENTS[frame["type"]], frame)
    check(MESSAGES, "Message", message(ENDED))


def test_a_completion_fits_the_schema_of_openai() -> None:
    check(COMPLETIONS, "CreateChatCompletionResponse", completion(ENDED))
