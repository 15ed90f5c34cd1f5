"""DNS resolver of service names."""

import asyncio
import socket

import pytest

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.failures import ConnectFailed
from gateway.upstream.pool import Pool, PoolLimits
from gateway.upstream.resolver import INTERVAL, Resolver, resolve
from parley_testing import eventually


async def test_a_resolved_endpoint_keeps_its_configured_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # Minimal systems have no name that resolves without a network, not even localhost.
    found_addresses = socket.getaddrinfo("10.0.0.1", 8002, type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found_addresses)
    found = await resolve(Endpoint("chat", 8002))
    assert [(a.host, a.port, a.name) for a in found] == [("10.0.0.1", 8002, b"chat:8002")]


async def test_an_unknown_name_resolves_to_no_endpoint() -> None:
    assert await resolve(Endpoint("no-such-host.invalid", 1)) == []


def test_ip_addresses_need_no_resolver() -> None:
    assert not Resolver(Pool("chat", [Endpoint("10.0.0.1", 80), Endpoint("::1", 80)], PoolLimits())).needed
    assert Resolver(Pool("chat", [Endpoint("chat", 80)], PoolLimits())).needed


def test_known_endpoints_keep_their_state() -> None:
    stays, goes = Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)
    pool = Pool("chat", [stays, goes], PoolLimits())
    pool.replace_endpoints([Endpoint("10.0.0.1", 80), Endpoint("10.0.0.3", 80)])
    assert pool.endpoints[0] is stays
    assert [a.host for a in pool.endpoints] == ["10.0.0.1", "10.0.0.3"]


async def test_an_ejection_triggers_a_lookup_at_once() -> None:
    known = [Endpoint("10.0.0.1", 80)]

    async def look_up(_name: Endpoint) -> list[Endpoint]:
        return list(known)

    pool = Pool("chat", [Endpoint("chat", 80)], PoolLimits())
    watching = asyncio.create_task(Resolver(pool, look_up).run())
    try:
        await eventually(lambda: pool.endpoints[0].host == "10.0.0.1")
        known[:] = [Endpoint("10.0.0.2", 80)]
        pool.record_failure(pool.endpoints[0], ConnectFailed(refused=True))
        await eventually(lambda: pool.endpoints[0].host == "10.0.0.2", within=INTERVAL / 2)
        known[:] = [Endpoint("10.0.0.3", 80)]
        pool.record_draining(pool.endpoints[0])
        await eventually(lambda: pool.endpoints[0].host == "10.0.0.3", within=INTERVAL / 2)
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def test_a_service_that_starts_after_the_gateway_is_found_soon() -> None:
    known: list[Endpoint] = []
    asked = asyncio.Event()

    async def look_up(_name: Endpoint) -> list[Endpoint]:
        asked.set()
        return list(known)

    pool = Pool("chat", [Endpoint("chat", 80)], PoolLimits())
    watching = asyncio.create_task(Resolver(pool, look_up).run())
    try:
        await asked.wait()
        known.append(Endpoint("10.0.0.1", 80))
        await eventually(lambda: pool.endpoints[0].host == "10.0.0.1", within=INTERVAL / 2)
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def test_a_name_whose_lookup_fails_keeps_its_addresses_beside_another_that_moves() -> None:
    known = {"chat-a": [Endpoint("10.0.0.1", 80)], "chat-b": [Endpoint("10.0.0.2", 80)]}

    async def look_up(name: Endpoint) -> list[Endpoint]:
        return known[name.host]

    pool = Pool("chat", [Endpoint("chat-a", 80), Endpoint("chat-b", 80)], PoolLimits())
    resolver = Resolver(pool, look_up)
    assert await resolver.refresh()
    known |= {"chat-a": [Endpoint("10.0.0.3", 80)], "chat-b": []}
    assert not await resolver.refresh()
    assert {each.host for each in pool.endpoints} == {"10.0.0.2", "10.0.0.3"}


async def test_a_name_that_was_never_found_takes_no_requests_beside_one_that_was() -> None:
    async def look_up(name: Endpoint) -> list[Endpoint]:
        return [Endpoint("10.0.0.1", 80)] if name.host == "chat-a" else []

    pool = Pool("chat", [Endpoint("chat-a", 80), Endpoint("chat-b", 80)], PoolLimits())
    assert not await Resolver(pool, look_up).refresh()
    assert [each.host for each in pool.endpoints] == ["10.0.0.1"]


async def test_a_starting_gateway_has_addresses_before_its_first_request() -> None:
    async def look_up(_name: Endpoint) -> list[Endpoint]:
        return [Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)]

    pool = Pool("chat", [Endpoint("chat", 80)], PoolLimits())
    await Resolver(pool, look_up).refresh()
    assert [each.host for each in pool.endpoints] == ["10.0.0.1", "10.0.0.2"]
