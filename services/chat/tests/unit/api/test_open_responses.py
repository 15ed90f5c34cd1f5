"""Everything sent for a request of the Responses API fits the published schemas of Open Responses.

The tests of the routes, the stream and the WebSocket check each frame of theirs as well.
"""

import base64
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import orjson
import pytest

from chat.file_references import image_part, openai_id
from chat.generation import AnswerChunk
from chat.model import LogEntry
from chat.past_exchanges import PastExchange
from chat.protocols.openai_responses.conversation_items import items_of
from chat.protocols.openai_responses.resource import input_item
from chat.protocols.openai_responses.schemas import MAX_IDENTIFIER
from chat_testing.api import open_api, shared_app
from chat_testing.asgi_socket import open_socket
from chat_testing.bench import EngineBench
from chat_testing.generator import answer_of
from chat_testing.published_schemas import check_body, check_event, check_socket_frame
from chat_testing.service_bench import ServiceBench
from chat_testing.turns import MODEL, make_catalogue
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
PATH = "/v1/responses"
ABLE = replace(
    MODEL,
    capabilities=("stream", "vision", "tools", "image_urls"),
    parameters=MODEL.parameters | {"reasoning_effort", "verbosity"},
)
ENDS = {"error", "response.completed", "response.incomplete", "response.failed"}
PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6364f8cf500f000306"
        "01801968fd6b0000000049454e44ae426082"
    )
).decode()
TEXT = base64.b64encode(b"Hello").decode()
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
TOOLS = [{**TOOL, "description": "The weather.", "strict": True}, {"type": "function", "name": "time"}]
SCHEMA = {"type": "json_schema", "name": "empty", "schema": {"type": "object"}}
CALL = {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "Sun"}


def user(*parts: Any) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": list(parts) if parts else "Hi"}


def message(role: str, content: Any, **members: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": content, **members}


def call(index: int, arguments: str) -> AnswerChunk:
    function = {"name": "weather", "arguments": arguments}
    return AnswerChunk(LogEntry("", ({"index": index, "id": f"c{index}", "type": "function", "function": function},)))


CALLS = [call(0, '{"a":1}'), call(1, ""), AnswerChunk(finish_reason="tool_calls")]
REASONED = [AnswerChunk(LogEntry(reasoning="Hm")), *answer_of("Hi")]
REQUESTS: dict[str, tuple[dict[str, Any], Sequence[AnswerChunk]]] = {
    "text": ({}, answer_of("Hel", "lo")),
    "no text": ({}, [AnswerChunk(finish_reason="stop")]),
    "instructions": (
        {"instructions": "Be short.", "input": [message("system", "a"), message("developer", "b"), user()]},
        answer_of("Hi"),
    ),
    "several turns": (
        {
            "input": [
                user(),
                message("assistant", "One moment.", phase="commentary"),
                message("assistant", [{"type": "output_text", "text": "Hello"}], phase="final_answer"),
                message("assistant", [{"type": "text", "text": "Hello"}, {"type": "refusal", "refusal": "No."}]),
                user({"type": "input_text", "text": "Hi"}, {"type": "text", "text": "again"}),
            ]
        },
        answer_of("Hi"),
    ),
    "parallel calls": ({"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": True}, CALLS),
    "chosen tool": ({"tools": TOOLS, "tool_choice": {"type": "function", "name": "weather"}}, CALLS),
    "allowed tools": ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools", "tools": [{"name": "time"}]}}, CALLS),
    "outputs": ({"input": [user(), CALL, OUTPUT]}, answer_of("Sun")),
    "output parts": ({"input": [user(), CALL, {**OUTPUT, "output": [{"type": "input_text", "text": "Sun"}]}]}, CALLS),
    "JSON": ({"text": {"format": {"type": "json_object"}, "verbosity": "low"}}, answer_of("{}")),
    "verbosity": ({"text": {"verbosity": "low"}}, answer_of("Hi")),
    "JSON schema": ({"text": {"format": SCHEMA}}, answer_of("{}")),
    "strict JSON schema": ({"text": {"format": {**SCHEMA, "strict": True, "description": "d"}}}, answer_of("{}")),
    "reasoning": (
        {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]},
        REASONED,
    ),
    "reasoning sent back": (
        {
            "input": [
                user(),
                {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]},
                {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
                message("assistant", "Hello"),
                user(),
            ]
        },
        REASONED,
    ),
    "images": (
        {
            "input": [
                user(
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                    {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                )
            ]
        },
        answer_of("A dot."),
    ),
    "file": (
        {
            "input": [
                user({"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;base64,{TEXT}"}),
            ]
        },
        answer_of("Hi"),
    ),
    "most tokens": ({"max_output_tokens": 16}, answer_of("Hel", finish_reason="length")),
    "filtered": ({}, answer_of("Hel", finish_reason="content_filter")),
    "options": (
        {
            "temperature": 0,
            "top_p": 0.5,
            "truncation": "auto",
            "metadata": {"a": "b"},
            "user": "u",
            "safety_identifier": "s",
            "prompt_cache_key": "k",
            "service_tier": "auto",
        },
        answer_of("Hi"),
    ),
    "unstored": ({"store": False}, answer_of("Hi")),
}


@pytest.fixture
def bench() -> ServiceBench:
    return ServiceBench(engine=EngineBench(catalogue=make_catalogue(ABLE)))


@pytest.fixture
def token() -> str:
    return ISSUER.token(new_id())


@pytest.fixture
async def http(bench: ServiceBench, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        found.headers["Authorization"] = f"Bearer {token}"
        yield found


async def checked(http: httpx2.AsyncClient, path: str) -> Any:
    body = (await http.get(path)).json()
    check_body(body)
    return body


@pytest.mark.parametrize("name", REQUESTS)
async def test_what_is_sent_for_a_request_fits_the_published_schema(
    bench: ServiceBench, http: httpx2.AsyncClient, token: str, name: str
) -> None:
    members, bench.engine.generator.chunks = REQUESTS[name]
    body = {"model": "default", "input": "Hi", **members}
    made = await http.post(PATH, json=body)
    assert made.status_code == 200, made.text
    check_body(made.json())
    if made.json()["store"]:
        assert await checked(http, f"{PATH}/{made.json()['id']}") == made.json()
        assert (await checked(http, f"{PATH}/{made.json()['id']}/input_items"))["data"]
        await checked(http, f"/v1/conversations/{made.json()['conversation']['id']}/items")
    streamed = await http.post(PATH, json={**body, "stream": True})
    blocks = [block for block in streamed.text.split("\n\n") if "data: " in block]
    events = [orjson.loads(block.partition("data: ")[2]) for block in blocks]
    for event in events:
        check_event(event)
    assert events[-1]["response"]["output"] != [] or name == "no text"
    async with open_socket(shared_app(), PATH, token) as socket:
        for others in ({}, {"generate": False}):
            socket.send(type="response.create", **body, **others)
            frame = {"type": ""}
            while frame["type"] not in ENDS:
                frame = await socket.next()
                check_socket_frame(frame)
            assert frame["type"] != "error"


def test_an_image_that_is_a_file_fits_the_published_schema_in_every_list() -> None:
    file_id = new_id()
    given = user({"type": "input_image", "file_id": openai_id(file_id), "detail": "auto"})
    check_body(input_item(new_id(), 0, given))
    (asked, _) = items_of(PastExchange(new_id(), None, "", "Hi", input=[message("user", [image_part(file_id)])]))
    check_body(asked)
    assert asked["content"] == [{**given["content"][0], "image_url": None}]


def test_a_text_of_either_role_has_the_type_of_its_role() -> None:
    shown = [input_item(new_id(), 0, message(role, [{"type": "text", "text": "Hi"}])) for role in ("user", "assistant")]
    assert [item["content"][0]["type"] for item in shown] == ["input_text", "output_text"]
    for item in shown:
        check_body(item)


@pytest.mark.parametrize("member", ["user", "safety_identifier", "prompt_cache_key"])
async def test_a_member_that_a_response_repeats_as_a_string_is_one(
    bench: ServiceBench, http: httpx2.AsyncClient, member: str
) -> None:
    refused = await http.post(PATH, json={"model": "default", "input": "Hi", member: 5})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, member)
    check_body(refused.json())


@pytest.mark.parametrize("member", ["user", "safety_identifier", "prompt_cache_key"])
async def test_a_member_that_is_no_token_of_the_prompt_is_short_because_it_is_stored_and_repeated(
    bench: ServiceBench, http: httpx2.AsyncClient, member: str
) -> None:
    bench.engine.generator.chunks = answer_of("Hi")
    longest = await http.post(PATH, json={"model": "default", "input": "Hi", member: "x" * MAX_IDENTIFIER})
    assert (longest.status_code, longest.json()[member]) == (200, "x" * MAX_IDENTIFIER)
    refused = await http.post(PATH, json={"model": "default", "input": "Hi", member: "x" * (MAX_IDENTIFIER + 1)})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, member)
    assert len(bench.engine.turns.turns) == 1


@pytest.mark.parametrize("options", [{"text": {"verbosity": "x" * 65}}, {"reasoning": {"effort": "x" * 65}}])
async def test_an_option_is_a_short_name(bench: ServiceBench, http: httpx2.AsyncClient, options: Any) -> None:
    refused = await http.post(PATH, json={"model": "default", "input": "Hi", **options})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "validation_failed")
    assert not bench.engine.turns.turns
