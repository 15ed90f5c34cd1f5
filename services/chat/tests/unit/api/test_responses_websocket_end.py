"""Ends of Responses over a WebSocket, on in-memory stores: departures, cancellation, drain, age, and credentials."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from chat.api.openai_responses import websocket
from chat_testing.api import open_api, shared_app
from chat_testing.asgi_socket import AsgiSocket, open_socket
from chat_testing.generator import answer_of
from chat_testing.responses_socket import PATH, create, response_of
from chat_testing.service_bench import ServiceBench
from parley.ids import new_id
from parley.web.runtime import Runtime
from parley_testing import eventually
from parley_testing.security.token_issuer import TestIssuer

ISSUER = TestIssuer()


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


async def test_too_many_waiting_responses_are_refused_while_one_runs(bench: ServiceBench, socket: AsgiSocket) -> None:
    bench.engine.generator.chunks, bench.engine.generator.endless = answer_of("a"), True
    create(socket)
    assert (await socket.next())["type"] == "response.created"
    assert (await socket.next())["type"] == "response.in_progress"
    for _ in range(websocket.MAX_WAITING + 1):
        create(socket)
    error = await socket.next()
    assert (error["status"], error["error"]["code"]) == (429, "too_many_streams")
    assert error["error"]["headers"] == {"Retry-After": "1"}


async def test_a_client_that_leaves_ends_an_unstored_response_and_no_stored_one(
    bench: ServiceBench, http: httpx2.AsyncClient, token: str
) -> None:
    bench.engine.generator.chunks, bench.engine.generator.endless = answer_of("a"), True
    for store in (False, True):
        async with open_socket(shared_app(), PATH, token) as socket:
            create(socket, store=store)
            assert (await socket.next())["type"] == "response.created"
    unstored, stored = bench.engine.turns.turns.values()
    await eventually(lambda: not bench.engine.turns.turns[unstored.id].running)
    assert bench.engine.turns.turns[stored.id].running
    cancelled = await http.post(f"{PATH}/resp_{stored.id.hex}/cancel")
    assert cancelled.json()["status"] == "cancelled"


async def test_a_client_that_leaves_during_the_admission_ends_an_unstored_response(
    bench: ServiceBench, http: httpx2.AsyncClient, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.engine.generator.chunks, bench.engine.generator.endless = answer_of("a"), True
    begun, released, admit = asyncio.Event(), asyncio.Event(), bench.engine.turns.admit

    async def slow(*arguments: Any) -> Any:
        begun.set()
        await released.wait()
        return await admit(*arguments)

    monkeypatch.setattr(bench.engine.turns, "admit", slow)
    async with open_socket(shared_app(), PATH, token) as socket:
        create(socket, store=False)
        await begun.wait()
        socket.leave()
        await asyncio.sleep(0)
        released.set()
    (turn,) = bench.engine.turns.turns.values()
    await eventually(lambda: not bench.engine.turns.turns[turn.id].running)


async def test_a_response_that_is_cancelled_ends_incomplete_on_its_websocket(
    bench: ServiceBench, http: httpx2.AsyncClient, socket: AsgiSocket
) -> None:
    bench.engine.generator.chunks, bench.engine.generator.endless = answer_of("a"), True
    create(socket)
    created = await socket.next()
    await http.post(f"{PATH}/{created['response']['id']}/cancel")
    events = [created]
    while events[-1]["type"] != "response.incomplete":
        events.append(await socket.next())
    assert events[-1]["response"]["status"] == "cancelled"


async def test_a_draining_process_finishes_a_response_and_closes_with_1012(
    bench: ServiceBench, http: httpx2.AsyncClient, token: str
) -> None:
    runtime: Runtime = shared_app().state.runtime
    bench.engine.generator.chunks, bench.engine.generator.endless = answer_of("a"), True
    async with open_socket(shared_app(), PATH, token) as socket:
        create(socket)
        created = await socket.next()
        create(socket)
        runtime.lifecycle.drain_started.set()
        try:
            await http.post(f"{PATH}/{created['response']['id']}/cancel")
            while (event := await socket.next())["type"] != "response.incomplete":
                assert event["type"] != "error"
            error, close = await socket.next(), await socket.next()
        finally:
            runtime.lifecycle.drain_started.clear()
    assert (error["error"]["code"], close["code"], close["reason"]) == ("draining", 1012, "draining")


async def test_a_connection_ends_after_its_time_with_the_code_of_openai(
    http: httpx2.AsyncClient, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "MAX_CONNECTION_SECONDS", 0.0)
    async with open_socket(shared_app(), PATH, token) as socket:
        error, close = await socket.next(), await socket.next()
    assert (error["error"]["code"], close["code"]) == ("websocket_connection_limit_reached", 1001)


async def test_a_token_is_renewed_by_a_frame_and_an_expired_one_closes_the_websocket(
    http: httpx2.AsyncClient,
) -> None:
    user = new_id()
    async with open_socket(shared_app(), PATH, ISSUER.token(user)) as socket:
        socket.send(type="auth", token=ISSUER.token(user))
        assert (await response_of(socket))["status"] == "completed"
        socket.send(type="auth", token=ISSUER.token(new_id()))
        error, close = await socket.next(), await socket.next()
    assert (error["error"]["code"], close["code"]) == ("token_invalid", 4401)
    async with open_socket(shared_app(), PATH, None) as socket:
        error, close = await socket.next(), await socket.next()
    assert (error["status"], error["error"]["code"], close["code"]) == (401, "credentials_missing", 4401)
