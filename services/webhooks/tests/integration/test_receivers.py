"""Receivers that are slow, hostile or not on the internet: bounded, and told apart."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from webhooks.outgoing.http_sender import MAX_RESPONSE, HttpSender, open_sender
from webhooks.outgoing.targets import TargetPolicy
from webhooks_testing.receiver import Receiver

pytestmark = pytest.mark.integration
LOOPBACK = TargetPolicy(allow_http=True, allowed_networks=(ipaddress.ip_network("127.0.0.0/8"),))


@pytest.fixture
async def sender() -> AsyncIterator[HttpSender]:
    async with open_sender(LOOPBACK) as found:
        yield found


async def post(sender: HttpSender, receiver: Receiver) -> tuple[int | None, str | None]:
    response = await sender.post(receiver.url, b"{}", {"Content-Type": "application/json"})
    return response.status, response.error


async def test_a_receiver_that_never_answers_times_out(receiver: Receiver) -> None:
    async def never(_request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    receiver.answer = never
    async with open_sender(LOOPBACK, timeout=0.3) as impatient:
        assert await post(impatient, receiver) == (None, "timeout")


async def test_a_redirect_is_not_followed(sender: HttpSender, receiver: Receiver) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/other"})

    receiver.answer = redirect
    assert await post(sender, receiver) == (307, "status_307")
    assert len(receiver.requests) == 1


async def test_an_endless_response_is_read_to_the_bound_only(sender: HttpSender, receiver: Receiver) -> None:
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        while sent < 1_000_000_000:
            await response.write(b"x" * 65_536)
            sent += 65_536
        return response

    receiver.answer = endless
    assert await post(sender, receiver) == (200, None)
    assert sent < 100_000_000, MAX_RESPONSE


async def test_a_name_that_resolves_to_a_private_address_is_refused(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(receiver.url.rsplit(":", 1)[1].partition("/")[0])

    def resolve(*_arguments: Any, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    async with open_sender(TargetPolicy(allow_http=True), timeout=2) as strict:
        response = await strict.post(f"http://rebound.example:{port}/hook", b"{}", {})
    assert (response.status, response.error) == (None, "address_refused")
    assert receiver.requests == []


async def test_a_number_that_stands_for_a_private_address_is_refused(receiver: Receiver) -> None:
    port = receiver.url.rsplit(":", 1)[1]
    async with open_sender(TargetPolicy(allow_http=True), timeout=2) as strict:
        for host in ("2130706433", "0x7f000001", "localhost", "127.1"):
            response = await strict.post(f"http://{host}:{port}", b"{}", {})
            assert response.status is None
            assert response.error in {"address_refused", "name_not_found"}, host
    assert receiver.requests == []


async def test_a_refused_connection_is_an_outcome(sender: HttpSender) -> None:
    response = await sender.post("http://127.0.0.1:1/", b"{}", {})
    assert (response.status, response.error) == (None, "connection_failed")
