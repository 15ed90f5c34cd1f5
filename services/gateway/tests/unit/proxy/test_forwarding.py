"""Request forwarding: the forwarded head, retries, and draining endpoints."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from gateway.errors import ClientDisconnected, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.proxy.bodies import NO_BODY
from gateway.proxy.forwarding import RequestForwarder
from gateway.server.request_cycle import RequestCycle
from gateway.upstream.failures import ResponseTimeout
from gateway_testing.fakes import make_caller, make_request
from gateway_testing.upstreams import CHAT, forward, hang, pool_of, reset
from parley_testing import eventually
from parley_testing.http.scripted_server import respond, scripted_server


class DepartedClient:
    """The cycle of a request whose client has left."""

    on_disconnect: Callable[[], None] | None = None
    disconnected = True


DRAINING = respond(503, b'{"status":503,"code":"draining"}')


async def test_the_head_has_the_identity_of_the_caller_and_the_client() -> None:
    headers = {"host": "api.example", "x-user-id": "root", "x-custom": "yes", "x-request-id": "r1"}
    request = make_request({**headers, "connection": "x-hop", "x-hop": "1"}, path="/chat")
    request.caller = make_caller()
    async with scripted_server() as server, pool_of(server) as pool:
        await forward(pool, request)
        seen = dict(server.journal[0].headers)
    assert seen == {
        "host": f"127.0.0.1:{server.port}",
        "x-custom": "yes",
        "x-request-id": "r1",
        "via": "1.1 parley",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "api.example",
        "forwarded": 'for=127.0.0.1;host="api.example";proto=http',
        "authorization": "Bearer token",
    }


@pytest.mark.parametrize(
    ("method", "headers", "attempts"),
    [
        ("GET", {}, 2),
        ("POST", {}, 1),
        ("POST", {"idempotency-key": "k"}, 2),
        ("POST", {"idempotency-key": "k", "connection": "keep-alive, Idempotency-Key"}, 1),
    ],
)
async def test_only_repeatable_requests_are_retried_after_a_broken_response(
    method: str, headers: dict[str, str], attempts: int
) -> None:
    async with scripted_server(reset) as server, pool_of(server) as pool:
        with pytest.raises(UpstreamBroken):
            await forward(pool, make_request(headers, method=method))
        assert len(server.journal) == attempts


async def test_an_idempotency_key_that_the_service_does_not_heed_repeats_no_request() -> None:
    async with scripted_server(reset) as server, pool_of(server) as pool:
        with pytest.raises(UpstreamBroken):
            await forward(pool, make_request({"idempotency-key": "k"}, method="POST"), replace(CHAT, keyed=False))
        assert len(server.journal) == 1


async def test_a_retry_goes_to_another_endpoint() -> None:
    async with scripted_server(reset) as broken, scripted_server() as works, pool_of(broken, works) as pool:
        request = make_request()
        assert (await forward(pool, request)).endpoint is pool.endpoints[1]
        assert request.attempts == 2


async def test_without_budget_there_is_no_retry() -> None:
    async with scripted_server(reset) as server, pool_of(server) as pool:
        while pool.retries.take():
            pass
        with pytest.raises(UpstreamBroken):
            await forward(pool, make_request())
        assert len(server.journal) == 1


async def test_a_timeout_is_not_retried() -> None:
    async with scripted_server(hang) as server, pool_of(server) as pool:
        forwarding = asyncio.create_task(forward(pool, make_request()))
        await eventually(lambda: server.journal)
        for connection in pool.endpoints[0].connections:
            connection.fail(ResponseTimeout())
        with pytest.raises(UpstreamTimeout):
            await forwarding
        assert len(server.journal) == 1


async def test_a_service_that_refuses_connections_is_unavailable() -> None:
    async with scripted_server() as server, pool_of(server) as pool:
        await server.stop()
        with pytest.raises(UpstreamUnavailable):
            await forward(pool, make_request())


async def test_a_request_refused_by_a_draining_endpoint_is_sent_to_another_one() -> None:
    async with scripted_server(DRAINING) as drains, scripted_server() as stays, pool_of(drains, stays) as pool:
        request = make_request(method="POST")
        assert (await forward(pool, request)).endpoint is pool.endpoints[1]
        assert request.attempts == 1, "not a retry"
        assert pool.endpoints[0].draining


async def test_a_request_whose_client_left_before_is_not_forwarded() -> None:
    async with scripted_server() as server, pool_of(server) as pool:
        request = make_request()
        request.cycle = cast("RequestCycle", DepartedClient())
        with pytest.raises(ClientDisconnected):
            await forward(pool, request)
        assert server.journal == []
        assert (pool.endpoints[0].active, pool.endpoints[0].slots) == (0, 0)


async def test_a_client_that_disconnects_cancels_the_request() -> None:
    async def disconnect() -> dict[str, str]:
        await eventually(lambda: server.journal)
        return {"type": "http.disconnect"}

    async with scripted_server(hang) as server, pool_of(server) as pool:
        with pytest.raises(ClientDisconnected):
            await RequestForwarder({"chat": pool}).forward(make_request(), CHAT, NO_BODY, disconnect)
        assert pool.endpoints[0].active == 0
