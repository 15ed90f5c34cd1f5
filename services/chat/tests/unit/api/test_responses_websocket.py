"""Responses over a WebSocket, on in-memory stores: continued, prepared and refused ones."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest

from chat.api.openai_responses import kept_response
from chat.errors import ProviderTimeout
from chat_testing.api import open_api, shared_app
from chat_testing.asgi_socket import AsgiSocket, open_socket
from chat_testing.responses_socket import PATH, create, events_of, refusal_of, response_of
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()
NOT_FOUND = "previous_response_not_found"


@pytest.fixture
def token() -> str:
    return ISSUER.token(new_id())


@pytest.fixture
async def http(bench: ServiceBench, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with open_api(bench, ISSUER) as found:
        found.headers["Authorization"] = f"Bearer {token}"
        yield found


@pytest.fixture
async def socket(http: httpx2.AsyncClient, token: str) -> AsyncIterator[AsgiSocket]:
    async with open_socket(shared_app(), PATH, token) as found:
        yield found


def prompt(bench: ServiceBench) -> list[Any]:
    return [message["content"] for message in bench.engine.generator.prompts[-1].messages]


async def test_a_response_over_the_websocket_is_the_turn_that_http_retrieves_and_streams(
    http: httpx2.AsyncClient, socket: AsgiSocket
) -> None:
    events = await events_of(socket, instructions="Be short.", metadata={"a": "b"})
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    whole = events[-1]["response"]
    assert (await http.get(f"{PATH}/{whole['id']}")).json() == whole
    rest = await http.get(f"{PATH}/{whole['id']}", params={"stream": True, "starting_after": 3})
    blocks = [block for block in rest.text.split("\n\n") if "data: " in block]
    assert [orjson.loads(block.partition("data: ")[2]) for block in blocks] == events[4:]


async def test_responses_of_one_websocket_run_one_after_the_other(bench: ServiceBench, socket: AsgiSocket) -> None:
    for _ in range(3):
        create(socket, store=False)
    kinds = [(await socket.next())["type"] for _ in range(3 * 10)]
    assert kinds == kinds[:10] * 3
    assert (kinds[0], kinds[9]) == ("response.created", "response.completed")


async def test_an_unstored_response_goes_on_only_on_its_own_websocket(
    bench: ServiceBench, socket: AsgiSocket, token: str
) -> None:
    first = await response_of(socket, store=False)
    second = await response_of(socket, store=False, input="Two", previous_response_id=first["id"])
    assert (second["status"], second["previous_response_id"]) == ("completed", first["id"])
    third = await response_of(socket, store=True, input="Three", previous_response_id=second["id"])
    assert prompt(bench) == ["Hi", "Hello", "Two", "Hello", "Three"]
    assert (third["store"], third["conversation"] is not None) == (True, True)
    async with open_socket(shared_app(), PATH, token) as other:
        assert await refusal_of(other, store=False, previous_response_id=second["id"]) == (400, NOT_FOUND)
        fresh = await response_of(other, store=False)
        assert fresh["status"] == "completed"
        fourth = await response_of(other, store=False, input="Four", previous_response_id=third["id"])
        fifth = await response_of(other, store=False, input="Five", previous_response_id=fourth["id"])
    assert prompt(bench) == ["Hi", "Hello", "Two", "Hello", "Three", "Hello", "Four", "Hello", "Five"]
    assert fifth["previous_response_id"] == fourth["id"]


async def test_a_failed_continuation_evicts_the_response_that_it_followed(
    bench: ServiceBench, socket: AsgiSocket
) -> None:
    output = {"type": "function_call_output", "call_id": "call_missing", "output": "x"}
    first = await response_of(socket, store=False)
    assert await refusal_of(socket, store=False, previous_response_id=first["id"], input=[output]) == (
        400,
        "invalid_request",
    )
    assert await refusal_of(socket, store=False, previous_response_id=first["id"]) == (400, NOT_FOUND)
    first = await response_of(socket, store=False)
    bench.engine.generator.chunks, bench.engine.generator.failure = [], ProviderTimeout()
    failed = await response_of(socket, store=False, previous_response_id=first["id"])
    assert failed["status"] == "failed"
    assert await refusal_of(socket, store=False, previous_response_id=first["id"]) == (400, NOT_FOUND)


async def test_a_prepared_response_calls_no_provider_and_its_input_is_part_of_the_next(
    bench: ServiceBench, http: httpx2.AsyncClient, socket: AsgiSocket
) -> None:
    given = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "One"}]
    events = await events_of(socket, generate=False, input=given, instructions="Prepare.")
    prepared = events[-1]["response"]
    assert [event["type"] for event in events] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    assert (prepared["output"], prepared["usage"]["total_tokens"], bench.engine.generator.prompts) == ([], 0, [])
    made = await response_of(socket, input="Two", previous_response_id=prepared["id"])
    assert prompt(bench) == ["Be kind.", "One", "Two"]
    assert made["previous_response_id"] == prepared["id"]
    assert (await http.get(f"{PATH}/{prepared['id']}")).status_code == 404


@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"previous_response_id": "resp_missing"}, NOT_FOUND, "previous_response_id"),
        ({"previous_response_id": f"resp_{new_id().hex}", "store": False}, NOT_FOUND, "previous_response_id"),
        ({"background": True}, "invalid_request", "background"),
        ({"stream": False}, "invalid_request", "stream"),
        ({"stream_id": "a"}, "invalid_request", "stream_id"),
        ({"generate": False, "conversation": f"conv_{new_id().hex}"}, "invalid_request", "conversation"),
        ({"model": "unknown"}, "model_not_found", None),
        ({"input": [{"role": "nobody", "content": "x"}]}, "validation_failed", "input.0.role"),
        ({"type": "response.steer"}, "invalid_request", "type"),
        ({"type": 5}, "invalid_request", "type"),
    ],
)
async def test_a_refused_frame_is_an_error_with_code_and_parameter_and_the_next_one_is_served(
    socket: AsgiSocket, members: dict[str, Any], code: str, param: str | None
) -> None:
    (error,) = await events_of(socket, **members)
    assert (error["error"]["code"], error["error"]["param"]) == (code, param)
    assert error["error"]["message"]
    assert (await response_of(socket))["status"] == "completed"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_request"),
        ('"x"', "invalid_request"),
        ("[" * 10_000 + "]" * 10_000, "invalid_json"),
        ('{"type":"response.create","type":"response.create"}', "invalid_json"),
        ('{"type":"response.create","model":"default","input":"Hi","metadata":{"a":NaN}}', "invalid_json"),
    ],
)
async def test_a_rubbish_frame_is_an_error_and_the_next_one_is_served(socket: AsgiSocket, text: str, code: str) -> None:
    socket.send_text(text)
    error = await socket.next()
    assert (error["type"], error["status"], error["error"]["code"]) == ("error", 400, code)
    socket.send_bytes(b"\x00")
    assert (await socket.next())["error"]["code"] == "invalid_request"
    assert (await response_of(socket))["status"] == "completed"


async def test_a_response_that_is_too_large_to_keep_is_not_found_later(
    socket: AsgiSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_response, "MAX_KEPT_BYTES", 10)
    first = await response_of(socket, store=False)
    assert await refusal_of(socket, store=False, previous_response_id=first["id"]) == (400, NOT_FOUND)
