"""Paths of OpenAI's API that the gateway does not forward, and its errors below ``/v1``."""

from collections.abc import AsyncIterator

import orjson
import pytest

from gateway.access.cors import Cors
from gateway.proxy.forwarding import _is_draining_problem
from gateway_testing.pipeline import TestPipeline, open_pipeline

COMPLETIONS = "/v1/chat/completions"


@pytest.fixture
async def pipeline() -> AsyncIterator[TestPipeline]:
    async with open_pipeline() as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        (COMPLETIONS, "POST", 401, "credentials_missing"),
        (COMPLETIONS, "GET", 405, "method_not_allowed"),
        ("/v1/models/gpt-x", "GET", 401, "credentials_missing"),
        ("/v1/embeddings", "POST", 401, "credentials_missing"),
        ("/v1/moderations", "POST", 404, "not_found"),
        ("/v1", "GET", 404, "not_found"),
    ],
)
async def test_an_error_below_v1_has_openais_body_alone(
    pipeline: TestPipeline, path: str, method: str, status: int, code: str
) -> None:
    response = await pipeline.request(path, method=method)
    assert (response.status, response.headers["content-type"]) == (status, "application/json")
    body = orjson.loads(response.body)
    assert list(body) == ["error"]
    assert (sorted(body["error"]), body["error"]["code"]) == (["code", "message", "param", "type"], code)


@pytest.mark.parametrize(
    ("headers", "method", "status", "kind", "code"),
    [
        ([], "POST", 401, "authentication_error", "credentials_missing"),
        ([("x-api-key", "sk-ant-1")], "POST", 401, "authentication_error", "api_key_invalid"),
        (
            [("x-api-key", "parley_1"), ("authorization", "Bearer parley_2")],
            *("POST", 400, "invalid_request_error", "ambiguous_credentials"),
        ),
        ([], "GET", 405, "invalid_request_error", "method_not_allowed"),
    ],
)
async def test_an_error_of_messages_has_anthropics_body(
    pipeline: TestPipeline, headers: list[tuple[str, str]], method: str, status: int, kind: str, code: str
) -> None:
    response = await pipeline.request("/v1/messages", headers=headers, method=method)
    body = orjson.loads(response.body)
    assert (response.status, body["type"], body["error"]["type"]) == (status, "error", kind)
    assert (body["error"]["code"], body["request_id"]) == (code, response.headers["x-request-id"])


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/v1/responses/compact/now", "This route of the Responses API is not offered; use `POST /v1/responses`."),
        ("/v1/conversations/conv_1/items/msg_1/x", "This route of the Conversations API is not offered"),
        ("/v1/assistants", "`/v1/assistants` is not offered; use `POST /v1/responses`."),
        ("/v1/moderations", "`/v1/moderations` is not offered; use another server for it."),
        ("/v1/threads", "`/v1/threads` is not offered; use `/api/v1/conversations`."),
        ("/v1/chat/completions/chatcmpl-1", "use `GET /api/v1/chat/turns/{id}`"),
        ("/v1/whatever", "Below `/v1` are `chat/completions`, `responses`, `conversations`"),
        ("/chat/completions", "OpenAI's API is below `/v1`"),
        ("/v1/messages/x", "This route of Anthropic's API is not offered"),
        ("/v1/v1/messages", "the base URL of your client is this server's address alone"),
        ("/v1/v1/chat/completions", "OpenAI's API is below `/v1`"),
        ("/api/v1/chat/completions", "OpenAI's API is below `/v1`"),
    ],
)
async def test_an_endpoint_that_is_not_offered_says_what_to_use(pipeline: TestPipeline, path: str, hint: str) -> None:
    response = await pipeline.request(path, method="POST")
    assert response.status == 404
    assert hint in orjson.loads(response.body)["error"]["message"]


async def test_an_unknown_path_elsewhere_has_no_hint(pipeline: TestPipeline) -> None:
    assert b"OpenAI" not in (await pipeline.request("/nothing")).body


@pytest.mark.parametrize("body", [b'{"code":"draining","error":{"code":"draining"}}', b'{"error":{"code":"draining"}}'])
def test_a_draining_service_is_recognised_by_both_bodies(body: bytes) -> None:
    assert _is_draining_problem(body)


def test_a_preflight_admits_the_headers_of_openais_sdk() -> None:
    cors = Cors(["https://app.example"])
    requested = b"authorization, X-Stainless-OS, x-stainless-retry-count, x-evil, x-stainless-\r\nset-cookie"
    allowed = dict(cors.preflight(b"https://app.example", requested))[b"access-control-allow-headers"].split(b", ")
    assert {b"x-stainless-os", b"x-stainless-retry-count", b"authorization"} <= set(allowed)
    assert b"x-evil" not in allowed
    assert not any(b"\n" in name for name in allowed)
    hidden = b"x-a," * 100 + b"x-stainless-os"
    assert b"x-stainless" not in dict(cors.preflight(b"https://app.example", hidden))[b"access-control-allow-headers"]
    many = b",".join(b"x-stainless-%d" % number for number in range(1000))
    assert len(dict(cors.preflight(b"https://app.example", many))[b"access-control-allow-headers"]) < 1000
    assert b"access-control-allow-headers" not in dict(cors.preflight(b"https://other.example", requested))
