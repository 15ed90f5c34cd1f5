"""Images in requests of every protocol: files of the caller, data, addresses, and how the provider gets them."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from chat.file_references import openai_id, reference
from chat.generation import Prompt, PromptImage
from chat_testing.bench import EngineBench
from chat_testing.files import PNG, png
from chat_testing.files_bench import FilesBench, error_code
from chat_testing.generator import answer_of
from chat_testing.turns import MODEL, SEES, make_catalogue
from parley.ids import new_id

NO_FILE = UUID("01a224fc-c1e2-729a-904b-aae9e3f0cbec")
"""A parameter has the same name in all workers, so that it is no new ID."""
BOMB = f"data:image/png;base64,{base64.b64encode(png(60_000, 60_000)).decode()}"


@pytest.fixture
async def bench() -> AsyncIterator[FilesBench]:
    blind = replace(MODEL, alias="blind")
    found = FilesBench(engine=EngineBench(catalogue=make_catalogue(SEES, blind)))
    found.bench.engine.generator.chunks = answer_of("A cat.")
    yield found
    await found.http.aclose()


def bodies(image: Any, **members: Any) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the path and body of a request with an image, by protocol. ``image``: a file, or an address."""
    named = openai_id(image) if isinstance(image, UUID) else None
    part = {"type": "input_image", "file_id": named} if named else {"type": "input_image", "image_url": image}
    _, _, data = str(image).partition("base64,")
    source: dict[str, Any] = {"type": "base64", "media_type": "image/png", "data": data}
    source = {"type": "file", "file_id": named} if named else source if data else {"type": "url", "url": image}
    ask = {"model": "default", **members}

    def asked(part: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]

    found: dict[str, tuple[str, dict[str, Any]]] = {
        "completions": (
            "/v1/chat/completions",
            {**ask, "messages": asked({"type": "image_url", "image_url": {"url": named or image}})},
        ),
        "responses": ("/v1/responses", {**ask, "input": [{"role": "user", "content": [part]}]}),
        "messages": (
            "/v1/messages",
            {**ask, "max_tokens": 9, "messages": asked({"type": "image", "source": source})},
        ),
    }
    if named:
        file_part = asked({"type": "file", "file": {"file_id": named}})
        found["file parts"] = ("/v1/chat/completions", {**ask, "messages": file_part})
        found["chat"] = ("/api/v1/chat", {**ask, "message": "What is it?", "files": [str(image)]})
    return found


def images_of(prompt: Prompt) -> list[str]:
    contents = [message["content"] for message in prompt.messages if isinstance(message["content"], list)]
    return [part["image_url"]["url"] for parts in contents for part in parts if part["type"] == "image_url"]


async def test_every_protocol_takes_the_file_of_its_caller(bench: FilesBench) -> None:
    file_id = await bench.uploaded(png(), "a.png")
    for name, (path, body) in bodies(file_id).items():
        answer = await bench.send("POST", path, json=body)
        assert answer.status_code == 200, (name, answer.text)
        prompt = bench.bench.engine.generator.prompts[-1]
        assert images_of(prompt) == [reference(file_id)], name
        assert prompt.images == {file_id: PromptImage("image/png", len(png()))}, name


async def test_the_file_of_another_person_is_like_an_unknown_one_in_every_protocol(bench: FilesBench) -> None:
    foreign = await bench.uploaded(png(), "a.png", user=new_id())
    for image in (foreign, new_id()):
        for name, (path, body) in bodies(image).items():
            refused = await bench.send("POST", path, json=body)
            assert (refused.status_code, error_code(refused.json())) == (404, "file_not_found"), name
    assert bench.bench.engine.generator.prompts == []


async def test_a_model_without_vision_and_a_file_that_is_shown_as_an_image_are_refused(bench: FilesBench) -> None:
    image, text = await bench.uploaded(png(), "a.png"), await bench.uploaded(b"text", "a.png")
    shown = {name: bodies(text)[name] for name in ("completions", "responses", "messages")}
    for requests in (bodies(image, model="blind"), shown, bodies(PNG, model="blind")):
        for name, (path, body) in requests.items():
            refused = await bench.send("POST", path, json=body)
            assert (refused.status_code, error_code(refused.json())) == (400, "unsupported_content"), name


@pytest.mark.parametrize(
    "image",
    [
        BOMB,
        "data:image/png;base64,PHN2Zz48L3N2Zz4=",
        "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=",
        f"{PNG}!",
        "data:image/png;base64,",
        "file:///etc/passwd",
        reference(NO_FILE),
        "https://169.254.169.254/latest/meta-data",
    ],
)
async def test_data_and_addresses_that_are_no_images_are_refused(bench: FilesBench, image: str) -> None:
    for name, (path, body) in bodies(image).items():
        refused = await bench.send("POST", path, json=body)
        assert refused.status_code == 400, (name, refused.text)
    assert bench.bench.engine.generator.prompts == []


async def test_images_stay_in_the_context_of_a_conversation(bench: FilesBench) -> None:
    file_id = await bench.uploaded(png(), "a.png")
    body = {"message": "What is it?", "files": [str(file_id)]}
    first = (await bench.send("POST", "/api/v1/chat", json=body)).json()
    where = {"conversation_id": first["conversation_id"]}
    for members in ({"message": "Sure?"}, {"regenerate": first["turn_id"]}):
        answer = await bench.send("POST", "/api/v1/chat", json={**where, **members})
        assert answer.status_code == 200, answer.text
        assert images_of(bench.bench.engine.generator.prompts[-1]) == [reference(file_id)]
    again = (await bench.send("GET", f"/api/v1/chat/turns/{answer.json()['turn_id']}")).json()
    assert again["user_message"]["files"] == [str(file_id)]
    items = (await bench.send("GET", f"/v1/responses/resp_{UUID(first['turn_id']).hex}/input_items")).json()
    assert items["data"][0]["content"][1]["file_id"] == openai_id(file_id)
    await bench.send("DELETE", f"/api/v1/files/{file_id}")
    await bench.send("POST", "/api/v1/chat", json={**where, "message": "And now?"})
    assert bench.bench.engine.generator.prompts[-1].images == {}


@pytest.mark.parametrize("members", [{"files": [str(new_id())] * 11}, {"files": ["a"]}, {"files": None}])
async def test_a_wrong_list_of_files_is_refused(bench: FilesBench, members: dict[str, Any]) -> None:
    refused = await bench.send("POST", "/api/v1/chat", json={"message": "Hi", **members})
    assert refused.status_code == 422
    kept = {"regenerate": str(new_id()), "conversation_id": str(new_id()), "files": [str(new_id())]}
    assert (await bench.send("POST", "/api/v1/chat", json=kept)).status_code == 422
