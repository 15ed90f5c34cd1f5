"""Files in the messages of the AI SDK's chat transport."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest

from chat.file_references import openai_id
from chat.files.text_frame import framed
from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat_testing.files import png
from chat_testing.files_bench import error_code
from chat_testing.generator import answer_of
from chat_testing.prompt_files import PDF, UI_PATH, PromptBench, data_url, ui_question_with
from chat_testing.ui_messages import call_delta
from parley.ids import new_id

PICTURE = data_url(png(), "image/png")


@pytest.fixture
async def bench() -> AsyncIterator[PromptBench]:
    found = PromptBench()
    yield found
    await found.http.aclose()


async def send(bench: PromptBench, model: str = "default", **file: str) -> Any:
    body = {"id": str(new_id()), "model": model, **ui_question_with(**file)}
    return await bench.send("POST", UI_PATH, json=body)


async def test_the_data_of_an_image_reaches_a_model_with_vision_and_no_other(bench: PromptBench) -> None:
    answer = await send(bench, "sees", url=PICTURE, mediaType="image/png", filename="a.png")
    assert answer.status_code == 200, answer.text
    assert bench.asked() == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "auto"}},
    ]
    refused = await send(bench, url=PICTURE, mediaType="image/png")
    assert (refused.status_code, error_code(refused.json())) == (400, "unsupported_content")


async def test_a_file_alone_is_a_message(bench: PromptBench) -> None:
    part = {"type": "file", "mediaType": "text/plain", "filename": "a.txt", "url": data_url(b"Hello", "text/plain")}
    body = {"id": str(new_id()), "messages": [{"role": "user", "parts": [part]}]}
    answer = await bench.send("POST", UI_PATH, json=body)
    assert answer.status_code == 200, answer.text
    assert bench.asked() == framed("a.txt", "Hello")


async def test_the_host_of_an_address_is_not_normalized(bench: PromptBench) -> None:
    """A normalization of these marks takes minutes."""
    marks, began = "\u0315\u0300" * 100_000, time.process_time()
    refused = await send(bench, url=f"https://a{marks}/v1/x", mediaType="text/plain")
    assert refused.status_code == 400
    file_id = await bench.uploaded(b"The plan.")
    answer = await send(bench, url=f"https://a{marks}/v1/files/{openai_id(file_id)}?x=/#/y")
    assert answer.status_code == 200, answer.text
    assert time.process_time() - began < 10


@pytest.mark.parametrize("address", ["/api/v1/files/{}", "https://chat.example.com/v1/files/{}/content", "{}"])
async def test_a_file_of_parley_is_named_by_its_address_or_id_and_stays_in_the_conversation(
    bench: PromptBench, address: str
) -> None:
    file_id = await bench.uploaded(b"The plan.")
    answer = await send(bench, url=address.format(openai_id(file_id)))
    assert answer.status_code == 200, answer.text
    assert bench.asked() == f"What is it?\n\n{framed('plan.txt', 'The plan.')}"
    (turn,) = bench.bench.engine.turns.turns.values()
    found = (await bench.send("GET", f"/api/v1/chat/turns/{turn.id}")).json()
    assert found["user_message"]["files"] == [str(file_id)]
    again = {"id": str(turn.conversation_id), "trigger": "regenerate-message", "messageId": str(turn.id)}
    assert (await bench.send("POST", UI_PATH, json=again)).status_code == 200
    assert "The plan." in bench.asked()


def text_file(text: bytes) -> dict[str, str]:
    return {"url": data_url(text, "text/plain"), "mediaType": "text/plain", "filename": "a.txt"}


def pdf_file(text: bytes) -> dict[str, str]:
    return {"url": data_url(PDF + text), "mediaType": "application/pdf"}


def picture(side: int) -> dict[str, str]:
    return {"url": data_url(png(side, side), "image/png"), "mediaType": "image/png"}


async def regenerate(bench: PromptBench, chat_id: str, *parts: dict[str, str]) -> UUID | None:
    """Regenerate without the ID of a message; return the answer that was regenerated, None if the message is new."""
    message = {"role": "user", "parts": [{"type": "file", **part} if "url" in part else part for part in parts]}
    body = {"id": chat_id, "model": "sees", "messages": [message], "trigger": "regenerate-message"}
    answer = await bench.send("POST", UI_PATH, json=body)
    assert answer.status_code == 200, answer.text
    return list(bench.bench.engine.turns.turns.values())[-1].regenerate


@pytest.mark.parametrize("text", [(), ({"type": "text", "text": "What is it?"},)])
@pytest.mark.parametrize("make", [lambda n: text_file(b"A" * n), lambda n: pdf_file(b"A" * n), picture])
async def test_a_message_with_other_files_is_asked_instead_of_generating_the_newest_answer_again(
    bench: PromptBench, make: Callable[[int], dict[str, str]], text: tuple[dict[str, str], ...]
) -> None:
    chat_id = str(new_id())
    assert await regenerate(bench, chat_id, *text, make(1)) is None
    (first,) = bench.bench.engine.turns.turns
    assert await regenerate(bench, chat_id, *text, make(1)) == first
    asked = bench.asked()
    assert await regenerate(bench, chat_id, *text, make(2)) is None
    assert bench.asked() != asked
    assert await regenerate(bench, chat_id, *text, make(2), make(1)) is None


async def test_files_of_parley_are_compared_by_their_ids(bench: PromptBench) -> None:
    chat_id = str(new_id())
    plan, image = await bench.uploaded(b"The plan."), await bench.uploaded(png(), "a.png")
    for file_id in (plan, image):
        assert await regenerate(bench, chat_id, {"url": f"/api/v1/files/{file_id}"}) is None
        newest = list(bench.bench.engine.turns.turns)[-1]
        assert await regenerate(bench, chat_id, {"url": openai_id(file_id)}) == newest


async def test_an_answer_to_tool_results_has_the_files_of_its_question(bench: PromptBench) -> None:
    call = AnswerChunk(LogEntry("", (call_delta(0, "", id="call_0", name="weather"),)))
    bench.bench.engine.generator.chunks = [call, AnswerChunk(finish_reason="tool_calls")]
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    text = {"type": "text", "text": "What is it?"}
    question = {"role": "user", "parts": [text, {"type": "file", **text_file(b"A")}]}
    chat_id = str(new_id())
    body = {"id": chat_id, "model": "sees", "tools": [tool]}
    await bench.send("POST", UI_PATH, json={**body, "messages": [question]})
    (asks,) = bench.bench.engine.turns.turns
    output = {"type": "dynamic-tool", "toolCallId": "call_0", "state": "output-available", "output": "Sun"}
    answer = {"id": str(asks), "role": "assistant", "parts": [{"type": "step-start"}, output]}
    bench.bench.engine.generator.chunks = answer_of("Sun")
    answered = await bench.send("POST", UI_PATH, json={**body, "messages": [question, answer]})
    assert answered.status_code == 200, answered.text
    newest = list(bench.bench.engine.turns.turns)[-1]
    assert newest != asks
    assert await regenerate(bench, chat_id, text, text_file(b"A")) == newest
    assert await regenerate(bench, chat_id, text, text_file(b"B")) is None


@pytest.mark.parametrize(
    ("model", "file", "code", "pointer"),
    [
        ("sees", {"url": "https://example.com/a.png", "mediaType": "image/png"}, "unsupported_content", None),
        ("sees", {"url": "data:image/svg+xml;base64,PHN2Zz4=", "mediaType": "image/svg+xml"}, None, "url"),
        ("default", {"url": "https://example.com/a.pdf", "mediaType": "application/pdf"}, None, "url"),
        ("default", {"url": ""}, None, "url"),
        ("default", {"url": "https://[", "mediaType": "text/plain"}, None, "url"),
        ("default", {"url": f"/api/v1/files/{UUID(int=7)}"}, "file_not_found", None),
        ("default", {"url": data_url(b"PK\x03\x04zip")}, "unsupported_content", None),
        ("default", {"url": "data:text/plain,Hello"}, "unsupported_content", None),
        ("none", {"url": data_url(b"Hello", "text/plain")}, "model_not_found", None),
        ("default", {"url": data_url(b"x" * 64_000, "text/plain")}, "context_length_exceeded", None),
        ("default", {"url": data_url(b"a"), "filename": "x" * 1001}, "validation_failed", "filename"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused_as_in_the_other_protocols(
    bench: PromptBench, model: str, file: dict[str, str], code: str | None, pointer: str | None
) -> None:
    refused = await send(bench, model, **file)
    assert refused.json()["code"] == code or code is None
    assert refused.status_code in {400, 404, 422}
    if pointer is not None:
        assert refused.json()["errors"][0]["pointer"] == f"/messages/0/parts/1/{pointer}"
    assert not bench.bench.engine.generator.prompts
