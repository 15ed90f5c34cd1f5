"""WebSockets in the request pipeline: refusals before and after the handshake."""

from collections.abc import AsyncIterator

import orjson
import pytest

from gateway.errors import ClientDisconnected
from gateway_testing.pipeline import TestPipeline, open_pipeline

MODELS = "/api/v1/models"
SOCKET = "/api/v1/chat/ws"
RESPONSES = "/v1/responses"


@pytest.fixture
async def pipeline() -> AsyncIterator[TestPipeline]:
    async with open_pipeline() as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        (MODELS, {}, 404, "not_found"),
        (SOCKET, {"origin": "https://evil.example"}, 403, "insufficient_scope"),
    ],
)
async def test_a_rejected_websocket_is_a_problem(
    pipeline: TestPipeline, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    client = await pipeline.websocket(path, headers=headers)
    assert [message["type"] for message in client.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert (client.status, client.code) == (status, code)


@pytest.mark.parametrize(
    ("headers", "offered", "code"),
    [
        ({"authorization": "Bearer rubbish"}, [], "token_invalid"),
        ({}, ["parley.bearer.rubbish"], "token_invalid"),
        ({"x-api-key": f"parley_{'0' * 38}"}, [], "api_key_invalid"),
        ({"authorization": "Basic YTpi"}, [], "credentials_missing"),
    ],
)
async def test_a_websocket_with_a_bad_credential_is_accepted_and_closed_with_4401(
    pipeline: TestPipeline, headers: dict[str, str], offered: list[str], code: str
) -> None:
    client = await pipeline.websocket(SOCKET, headers=headers, subprotocols=["parley.v1", *offered])
    accepted, closed = client.sent
    assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "parley.v1")
    assert closed == {"type": "websocket.close", "code": 4401, "reason": code}
    assert [line["status"] for line in pipeline.log_lines()] == [401]
    assert pipeline.chat.journal == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "credentials_missing"),
        ({"authorization": "Bearer rubbish"}, 401, "token_invalid"),
        ({"authorization": f"Bearer parley_{'0' * 38}"}, 401, "api_key_invalid"),
        ({"origin": "https://evil.example"}, 403, "insufficient_scope"),
    ],
)
async def test_a_websocket_of_openais_api_is_refused_with_a_status_and_its_error(
    pipeline: TestPipeline, headers: dict[str, str], status: int, code: str
) -> None:
    client = await pipeline.websocket(RESPONSES, headers=headers)
    assert (client.status, orjson.loads(client.body)["error"]["code"]) == (status, code)
    assert pipeline.chat.journal == []


async def test_a_websocket_client_that_leaves_is_not_logged_as_an_error(
    pipeline: TestPipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    async def gone(_: object) -> None:
        raise ClientDisconnected

    for path in (SOCKET, MODELS):
        await pipeline.websocket(path, headers={"authorization": "Bearer rubbish"}, send=gone)
    assert [line["status"] for line in pipeline.log_lines()] == [401, 404]
    assert "unhandled_error" not in "".join(capsys.readouterr())


async def test_different_credentials_of_a_websocket_are_ambiguous(pipeline: TestPipeline) -> None:
    offered = ["parley.v1", "parley.bearer.another"]
    client = await pipeline.websocket(SOCKET, headers=pipeline.bearer(), subprotocols=offered)
    assert (client.status, client.code) == (400, "ambiguous_credentials")


async def test_a_websocket_to_an_unreachable_service_is_rejected(pipeline: TestPipeline) -> None:
    await pipeline.chat.stop()
    client = await pipeline.websocket(SOCKET, headers={"origin": "http://localhost"})
    assert (client.status, client.code) == (503, "dependency_unavailable")
    assert [line["status"] for line in pipeline.log_lines()] == [503]
