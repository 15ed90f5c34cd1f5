"""Every protocol shows one turn: all streams fold to the same answer, and their frames fit the published schemas."""

import functools
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import llm_comply
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from llm_comply.schema import SpecLoader
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from chat.api.completion_stream import completion_events
from chat.api.response_stream import folded_events
from chat.model import LogEntry, Turn
from chat.protocols.anthropic_messages.events import MessageEvents
from chat.protocols.anthropic_messages.message import message
from chat.protocols.openai_chat.projection import completion
from chat.protocols.openai_responses.events import ResponseEvents
from chat.protocols.openai_responses.resource import response
from chat.protocols.parley.projection import TurnProjection, answer
from chat.protocols.sse import event_stream
from chat.protocols.websocket.projection import turn_frames
from chat.running.tool_calls import join_calls
from chat.running.turn_updates import StreamStarted, TurnDelta, TurnFinished, TurnUpdate
from chat_testing.turns import make_turn
from parley import times
from parley_events.models import Usage

USAGE = Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=2, reasoning_tokens=1)
SPECIFICATIONS = Path(llm_comply.__file__).with_name("specs")
ANTHROPIC_EVENTS = {
    "message_start": "MessageStartEvent",
    "content_block_start": "ContentBlockStartEvent",
    "content_block_delta": "ContentBlockDeltaEvent",
    "content_block_stop": "ContentBlockStopEvent",
    "message_delta": "MessageDeltaEvent",
    "message_stop": "MessageStopEvent",
}
Frames = list[dict[str, Any]]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=4)


class Answer(NamedTuple):
    """An answer as a client has put it together; a call is its ID, name and arguments."""

    text: str
    reasoning: str
    calls: list[tuple[str, str, str]]


def call(index: int, arguments: str, *, first: bool) -> LogEntry:
    head = {"id": f"call_{index}", "type": "function"} if first else {}
    function = {"arguments": arguments, **({"name": f"f{index}"} if first else {})}
    return LogEntry("", ({"index": index, **head, "function": function},))


@st.composite
def logs(draw: st.DrawFn) -> list[LogEntry]:
    found, seen = list[LogEntry](), set[int]()
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "call"]), max_size=10)):
        if kind == "call":
            index = draw(st.integers(0, min(2, len(seen))))
            found.append(call(index, draw(TEXTS), first=index not in seen))
            seen.add(index)
        else:
            found.append(LogEntry(draw(TEXTS)) if kind == "text" else LogEntry(reasoning=draw(TEXTS)))
    return found


def ended(running: Turn, entries: Sequence[LogEntry]) -> Turn:
    calls = join_calls(entries)
    return replace(
        running,
        status="completed",
        finish_reason="tool_calls" if calls else "stop",
        entries=tuple(entries),
        content="".join(entry.text for entry in entries),
        tool_calls=calls,
        usage=USAGE,
        finished_at=times.now(),
    )


def updates_of(running: Turn, turn: Turn, cut: int, *, starts: bool = True) -> list[TurnUpdate]:
    """Return the updates of a reader to whom the entries came in two batches."""
    parts = (TurnDelta(2, turn.entries[:cut]), TurnDelta(2 + cut, turn.entries[cut:]))
    first: list[TurnUpdate] = [StreamStarted(running)] if starts else []
    return [*first, *(part for part in parts if part.entries), TurnFinished(turn.last_seq, turn)]


async def read(chunks: AsyncGenerator[bytes, None]) -> Frames:
    text = "".join([chunk.decode() async for chunk in chunks])
    data = [line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


async def source(updates: Iterable[TurnUpdate]) -> AsyncGenerator[TurnUpdate, None]:
    for update in updates:
        yield update


def joined(deltas: Iterable[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return the calls that deltas in OpenAI's form add up to."""
    calls: dict[int, list[str]] = {}
    for delta in deltas:
        found = calls.setdefault(delta["index"], ["", "", ""])
        function = delta.get("function", {})
        parts = (delta.get("id") or "", function.get("name") or "", function.get("arguments") or "")
        calls[delta["index"]] = [before + part for before, part in zip(found, parts, strict=True)]
    return [(calls[index][0], calls[index][1], calls[index][2]) for index in sorted(calls)]


def of_openai_calls(calls: Iterable[dict[str, Any]] | None) -> list[tuple[str, str, str]]:
    return [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls or ()]


def of_parley(frames: Frames) -> Answer:
    calls = joined(delta for frame in frames for delta in frame.get("tool_calls") or ())
    return Answer("".join(f["delta"] for f in frames), "".join(f.get("reasoning") or "" for f in frames), calls)


def of_chunks(frames: Frames) -> Answer:
    deltas = [choice["delta"] for frame in frames for choice in frame["choices"]]
    text, thought = ("".join(d.get(name) or "" for d in deltas) for name in ("content", "reasoning_content"))
    return Answer(text, thought, joined(each for delta in deltas for each in delta.get("tool_calls") or ()))


def of_items(items: Frames) -> Answer:
    """Return the answer of the output items of a response."""
    kinds = {kind: [item for item in items if item["type"] == kind] for kind in ("message", "reasoning")}
    calls = [item for item in items if item["type"] == "function_call"]
    return Answer(
        "".join(part["text"] for item in kinds["message"] for part in item["content"]),
        "".join(part["text"] for item in kinds["reasoning"] for part in item["summary"]),
        sorted((item["call_id"], item["name"], item["arguments"]) for item in calls),
    )


def of_response_events(frames: Frames) -> Answer:
    texts = {"output_text": "", "reasoning_summary_text": ""}
    calls: dict[int, list[str]] = {}
    for frame in frames:
        kind = frame["type"].removeprefix("response.").removesuffix(".delta")
        if frame["type"] == "response.output_item.added" and frame["item"]["type"] == "function_call":
            calls[frame["output_index"]] = [frame["item"]["call_id"], frame["item"]["name"], ""]
        elif kind == "function_call_arguments" and "delta" in frame:
            calls[frame["output_index"]][2] += frame["delta"]
        elif kind in texts and "delta" in frame:
            texts[kind] += frame["delta"]
    found = sorted((one, name, arguments) for one, name, arguments in calls.values())
    return Answer(texts["output_text"], texts["reasoning_summary_text"], found)


def of_message_events(frames: Frames) -> Answer:
    texts = {"text": "", "thinking": ""}
    calls: dict[int, list[str]] = {}
    for frame in frames:
        if frame["type"] == "content_block_start" and frame["content_block"]["type"] == "tool_use":
            calls[frame["index"]] = [frame["content_block"]["id"], frame["content_block"]["name"], ""]
        elif frame["type"] == "content_block_delta":
            delta = frame["delta"]
            if delta["type"] == "input_json_delta":
                calls[frame["index"]][2] += delta["partial_json"]
            else:
                kind = delta["type"].removesuffix("_delta")
                texts[kind] += delta[kind]
    found = sorted((one, name, arguments) for one, name, arguments in calls.values())
    return Answer(texts["text"], texts["thinking"], found)


@functools.cache
def document(name: str) -> Registry[Any]:
    loader = SpecLoader(str(SPECIFICATIONS / name))
    schemas = {each: loader.get_schema(each) for each in loader.schema_names}
    resource = DRAFT202012.create_resource({"components": {"schemas": schemas}})
    found: Registry[Any] = Registry().with_resource("urn:document", resource)
    return found


@functools.cache
def validator(name: str, schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"urn:document#/components/schemas/{schema}"}, registry=document(name))


@functools.cache
def response_schemas() -> dict[str, str]:
    """Return the names of the events' schemas by the type that the schema itself allows."""
    loader, found = SpecLoader(str(SPECIFICATIONS / "openresponses.json")), {}
    for name in loader.schema_names:
        kind = ((loader.get_schema(name) or {}).get("properties") or {}).get("type", {})
        if name.endswith("StreamingEvent"):
            found[kind["enum"][0]] = name
    return found


def check(document_name: str, schema: str, found: Any) -> None:
    validator(document_name, schema).validate(found)


def websocket(turn: Turn, updates: Iterable[TurnUpdate]) -> Iterator[dict[str, Any]]:
    projection = TurnProjection(turn)
    for update in updates:
        for frame in turn_frames("c1", projection, update):
            yield json.loads(frame)["data"]


@settings(max_examples=40, deadline=None)
@given(logs(), st.data())
async def test_every_stream_of_a_turn_folds_to_the_same_answer(entries: list[LogEntry], data: st.DataObject) -> None:
    running = make_turn()
    turn = ended(running, entries)
    cut = data.draw(st.integers(0, len(entries)))
    updates = updates_of(running, turn, cut)
    expected = Answer(turn.content or "", "".join(e.reasoning for e in entries), of_openai_calls(turn.tool_calls))
    later = updates_of(running, turn, cut, starts=False)
    responses = await read(folded_events(running, source(updates), ResponseEvents(running), holds=False, moves=False))
    messages = await read(folded_events(running, source(updates), MessageEvents(running), holds=False, moves=False))
    chunks = await read(completion_events(running, source(later), include_usage=False))
    assert of_parley(await read(event_stream(running, source(updates)))) == expected
    assert of_parley(list(websocket(running, updates))) == expected
    assert of_chunks(chunks) == expected
    assert of_response_events(responses) == expected
    assert of_message_events(messages) == expected


@settings(max_examples=40, deadline=None)
@given(logs())
async def test_every_whole_answer_of_a_turn_says_the_same(entries: list[LogEntry]) -> None:
    turn = ended(make_turn(), entries)
    expected = Answer(turn.content or "", "".join(e.reasoning for e in entries), of_openai_calls(turn.tool_calls))
    own = answer(turn)
    assert (own.message, of_openai_calls(own.tool_calls)) == (expected.text, expected.calls)
    found = completion(turn)
    said = found["choices"][0]["message"]
    assert (said["content"] or "", said.get("reasoning_content", "")) == (expected.text, expected.reasoning)
    assert of_openai_calls(said.get("tool_calls")) == expected.calls
    made = response(turn, turn.entries)
    assert of_items(made["output"]) == expected
    content = message(turn)
    blocks: Callable[[str], str] = lambda kind: "".join(b[kind] for b in content["content"] if b["type"] == kind)  # noqa: E731
    assert (blocks("text"), blocks("thinking")) == (expected.text, expected.reasoning)
    uses = [(block["id"], block["name"]) for block in content["content"] if block["type"] == "tool_use"]
    assert sorted(uses) == [(one, name) for one, name, _ in expected.calls]


async def test_frames_and_answers_fit_the_published_schemas() -> None:
    running = make_turn()
    log = [LogEntry(reasoning="Hm"), LogEntry("Hi"), call(0, '{"a"', first=True), call(0, ":1}", first=False)]
    turn = ended(running, [*log, call(1, "{}", first=True)])
    updates = updates_of(running, turn, 2)
    for frame in await read(folded_events(running, source(updates), ResponseEvents(running), holds=False, moves=False)):
        check("openresponses.json", response_schemas()[frame["type"]], frame)
    for frame in await read(folded_events(running, source(updates), MessageEvents(running), holds=False, moves=False)):
        if frame["type"] != "ping":
            check("anthropic.json", ANTHROPIC_EVENTS[frame["type"]], frame)
    check("openresponses.json", "ResponseResource", response(turn, turn.entries))
    check("openresponses.json", "ResponseResource", response(running, ()))
    check("anthropic.json", "Message", message(turn))
    check("openai_chat.json", "CreateChatCompletionResponse", completion(turn))
