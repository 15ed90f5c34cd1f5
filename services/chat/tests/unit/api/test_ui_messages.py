"""Routes of the AI SDK's chat transport: what is new in a request, and the answers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx2
import pytest

from chat.generation import AnswerChunk
from chat.model import LogEntry, Turn
from chat_testing.api import open_api
from chat_testing.generator import answer_of
from chat_testing.service_bench import ServiceBench
from chat_testing.ui_messages import call_delta, parsed_ui_events
from parley.ids import new_id
from parley_testing import eventually
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


class FrontendChat:
    """A chat of one frontend."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http, self.id = http, str(new_id())
        self._headers = {"Authorization": f"Bearer {ISSUER.token(new_id())}"}

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        return await self._http.request(method, f"/api/v1/chat/ui{path}", headers=self._headers, **options)

    async def post(self, *messages: Any, **members: Any) -> httpx2.Response:
        return await self.request("POST", "", json={"id": self.id, "messages": messages, **members})

    async def send(self, *messages: Any, **members: Any) -> list[Any]:
        response = await self.post(*messages, **members)
        assert response.status_code == 200, response.text
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        return parsed_ui_events(response.content)


@pytest.fixture
async def http(bench: ServiceBench) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        yield found


@pytest.fixture
def chat(http: httpx2.AsyncClient) -> FrontendChat:
    return FrontendChat(http)


def user(*parts: str | dict[str, Any], message_id: str = "abc") -> Any:
    found = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"id": message_id, "role": "user", "parts": found}


def shown(events: list[Any], *parts: Any) -> Any:
    """Return the answer that a frontend shows after these events."""
    text = [{"type": "text", "text": "Hello", "state": "done"}]
    known = {"id": events[0].get("messageId", "first"), "metadata": events[0]["messageMetadata"]}
    return {**known, "role": "assistant", "parts": [{"type": "step-start"}, *(parts or text)]}


def turns_of(bench: ServiceBench) -> list[Turn]:
    return list(bench.engine.turns.turns.values())


async def test_an_answer_is_a_message_whose_id_is_its_turn(chat: FrontendChat, bench: ServiceBench) -> None:
    events = await chat.send(user("Hi"), trigger="submit-message", system_prompt="Be short.", metadata={"a": "b"})
    (turn,) = turns_of(bench)
    assert [event["type"] for event in events] == [
        *("start", "start-step", "text-start", "text-delta", "text-delta", "text-end", "finish-step", "finish")
    ]
    assert (events[0]["messageId"], events[-1]["finishReason"]) == (str(turn.id), "stop")
    assert events[0]["messageMetadata"]["conversation_id"] == chat.id == str(turn.conversation_id)
    assert events[-1]["messageMetadata"]["status"] == "completed"
    assert (turn.user_message, turn.system_prompt, turn.metadata) == ("Hi", "Be short.", {"a": "b"})


async def test_the_next_message_follows_the_answer_that_is_shown(chat: FrontendChat, bench: ServiceBench) -> None:
    first = await chat.send(user("One"))
    second = await chat.send(user("One"), shown(first), user("Two"))
    await chat.send(user("Only the last message is sent."))
    edited = await chat.send(user("One"), shown(first), user("Other", message_id="x"), messageId="x")
    root = await chat.send(user("Edited", message_id="y"), messageId="y")
    parents = {turn.user_message: turn.parent_id for turn in turns_of(bench)}
    ids = [UUID(events[0]["messageId"]) for events in (first, second, edited, root)]
    assert parents == {
        "One": None,
        "Two": ids[0],
        "Only the last message is sent.": ids[1],
        "Other": ids[0],
        "Edited": None,
    }


async def test_an_answer_without_output_is_not_followed(chat: FrontendChat, bench: ServiceBench) -> None:
    first = await chat.send(user("One"))
    failed = {"id": str(new_id()), "role": "assistant", "parts": [{"type": "step-start"}]}
    await chat.send(user("One"), shown(first), user("Two"), failed, user("Three"))
    assert turns_of(bench)[-1].parent_id == UUID(first[0]["messageId"])


async def test_an_answer_is_regenerated_with_and_without_its_id(chat: FrontendChat, bench: ServiceBench) -> None:
    first = await chat.send(user("One"))
    await chat.send(user("One"), trigger="regenerate-message", messageId=first[0]["messageId"])
    await chat.send(user("One"), trigger="regenerate-message")
    await chat.send(user("Never admitted"), trigger="regenerate-message")
    turns = turns_of(bench)
    assert [turn.user_message for turn in turns] == ["One", "One", "One", "Never admitted"]
    assert [turn.regenerate for turn in turns] == [None, turns[0].id, turns[1].id, None]
    assert len({turn.user_message_id for turn in turns}) == 2


async def test_outputs_of_tools_continue_the_message(chat: FrontendChat, bench: ServiceBench) -> None:
    bench.engine.generator.chunks = calls("weather", "weather")
    asks = await chat.send(user("Weather?"), tools=[TOOL])
    known = [event for event in asks if event["type"] == "tool-input-available"]
    assert [(event["toolName"], event["input"], event["dynamic"]) for event in known] == [("weather", {}, True)] * 2
    assert asks[-1]["finishReason"] == "tool-calls"
    bench.engine.generator.chunks = answer_of("Sun")
    parts = [
        {"type": "dynamic-tool", "toolCallId": "call_0", "state": "output-available", "output": {"sky": "blue"}},
        {"type": "tool-weather", "toolCallId": "call_1", "state": "output-error", "errorText": "lost"},
    ]
    answer = await chat.send(user("Weather?"), shown(asks, *parts), tools=[TOOL])
    assert "messageId" not in answer[0]
    sent = bench.engine.generator.prompts[-1].messages
    assert [(each["role"], each["content"]) for each in sent[-2:]] == [
        ("tool", '{"sky":"blue"}'),
        ("tool", "Error: lost"),
    ]
    # The message keeps the ID of its first turn, so the metadata names the newest one.
    both = shown(answer, *parts, {"type": "step-start"}, {"type": "text", "text": "Sun"})
    await chat.send(user("Weather?"), both, user("Thanks"))
    assert turns_of(bench)[-1].parent_id == UUID(answer[0]["messageMetadata"]["turn_id"])


async def test_two_outputs_of_one_call_are_refused(chat: FrontendChat, bench: ServiceBench) -> None:
    bench.engine.generator.chunks = calls("weather")
    asks = await chat.send(user("Weather?"), tools=[TOOL])
    part = {"type": "dynamic-tool", "toolCallId": "call_0", "state": "output-available", "output": "Sun"}
    refused = await chat.post(user("Weather?"), shown(asks, part, part), tools=[TOOL])
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (400, "duplicate")


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "invalid_request"),
        ([user(" ")], "invalid_request"),
        ([user("x" * 32_001)], "invalid_request"),
        ([user("Hi", {"type": "file", "mediaType": "image/png", "url": "data:,"})], "unsupported_content"),
        ([user("Hi"), {"role": "assistant", "parts": []}], "invalid_request"),
        ([{"role": "tool", "parts": []}], "validation_failed"),
    ],
)
async def test_a_wrong_request_is_refused(chat: FrontendChat, messages: list[Any], code: str) -> None:
    response = await chat.post(*messages)
    assert response.status_code in {400, 422}
    assert response.json()["code"] == code


async def test_a_running_answer_is_streamed_from_its_start_until_it_is_stopped(
    chat: FrontendChat, bench: ServiceBench
) -> None:
    assert (await chat.request("GET", f"/{chat.id}/stream")).status_code == 204
    assert (await chat.request("GET", "/other/stream")).status_code == 204
    assert (await chat.request("POST", f"/{chat.id}/stop")).status_code == 204
    bench.engine.generator.chunks, bench.engine.generator.endless = [AnswerChunk(LogEntry("Hel"))], True
    sending = asyncio.create_task(chat.post(user("Hi")))
    (turn,) = await eventually(lambda: turns_of(bench))
    await eventually(lambda: bench.readers.has_readers(turn.id))
    sending.cancel()  # a disconnect
    await asyncio.wait({sending})
    assert not await bench.readers.has_readers(turn.id)
    resuming = asyncio.create_task(chat.request("GET", f"/{chat.id}/stream"))
    await eventually(lambda: bench.readers.has_readers(turn.id))
    assert (await chat.request("POST", f"/{chat.id}/stop")).status_code == 204
    events = parsed_ui_events((await resuming).content)
    assert (events[0]["type"], events[-1]["type"]) == ("start", "abort")
    assert "".join(event.get("delta", "") for event in events) == "Hel"
    assert (await chat.request("GET", f"/{chat.id}/stream")).status_code == 204


async def test_the_chat_of_another_user_is_not_running(
    chat: FrontendChat, http: httpx2.AsyncClient, bench: ServiceBench
) -> None:
    bench.engine.generator.endless = True
    other = FrontendChat(http)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(chat.post(user("Hi")))
        await eventually(lambda: any(turn.running for turn in turns_of(bench)))
        assert (await other.request("GET", f"/{chat.id}/stream")).status_code == 204
        assert (await other.request("POST", f"/{chat.id}/stop")).status_code == 204
        assert all(turn.running for turn in turns_of(bench))
        await chat.request("POST", f"/{chat.id}/stop")


def calls(*names: str) -> list[AnswerChunk]:
    entries = [
        AnswerChunk(LogEntry("", (call_delta(n, "", id=f"call_{n}", name=name),))) for n, name in enumerate(names)
    ]
    return [*entries, AnswerChunk(finish_reason="tool_calls")]
