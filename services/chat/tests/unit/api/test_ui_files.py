"""Files in the messages of the AI SDK's chat transport."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from chat.file_references import openai_id
from chat.files.text_frame import framed
from chat_testing.files import png
from chat_testing.files_bench import error_code
from chat_testing.prompt_files import UI_PATH, PromptBench, data_url, ui_question_with
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
