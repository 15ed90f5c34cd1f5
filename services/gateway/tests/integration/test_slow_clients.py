"""Slow clients: the minimum data rate, and other clients beside them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from gateway.proxy.held_responses import MAX_HELD_BYTES_OF_USER
from gateway_testing.running import RunGateway, RunningGateway
from parley_testing import eventually
from parley_testing.http.scripted_server import RecordedRequest, respond

pytestmark = pytest.mark.integration

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b"data: " + b"x" * 60_000 + b"\n\n"
POST = b"POST /api/v1/auth/token HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n"


async def flood(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    while True:
        writer.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
        await writer.drain()


@contextlib.asynccontextmanager
async def narrow_client(gateway: RunningGateway) -> AsyncIterator[socket.socket]:
    """Request a stream with a small receive buffer."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", gateway.port))
        token = gateway.bearer()["authorization"].encode()
        request = b"POST /api/v1/chat/stream HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nAuthorization: %b\r\n\r\n{}"
        await loop.sock_sendall(client, request % token)
        yield client


async def read_slowly(client: socket.socket, *, size: int) -> None:
    """Read ``size`` bytes twenty times a second until the gateway closes the connection."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while await loop.sock_recv(client, size):
            await asyncio.sleep(0.05)


async def test_a_slow_reader_is_disconnected_and_its_upstream_request_cancelled(run_gateway: RunGateway) -> None:
    async with run_gateway(write_timeout=1) as gateway:
        gateway.chat.answer = flood
        async with narrow_client(gateway) as client:
            reading = asyncio.create_task(read_slowly(client, size=16))
            await eventually(lambda: gateway.chat.open == 1)
            await eventually(lambda: gateway.chat.open == 0, within=20)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_slow_reader_above_the_minimum_rate_is_served(run_gateway: RunGateway) -> None:
    async with run_gateway(write_timeout=1) as gateway:
        gateway.chat.answer = flood
        async with narrow_client(gateway) as client:
            reading = asyncio.create_task(read_slowly(client, size=4096))
            done, _ = await asyncio.wait({reading}, timeout=4)
            assert not done
            assert gateway.chat.open == 1
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def test_a_silent_upstream_does_not_end_a_stream(run_gateway: RunGateway) -> None:
    async with run_gateway(write_timeout=0.5) as gateway:

        async def silent(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            writer.write(HEAD + b"9\r\ndata: 1\n\n\r\n")
            await asyncio.sleep(2)
            writer.write(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

        gateway.chat.answer = silent
        response = await gateway.client.post("/api/v1/chat/stream", json={}, headers=gateway.bearer())
        assert response.content == b"data: 1\n\ndata: 2\n\n"


@pytest.mark.parametrize("beginning", [b"", b"x" * 10_000])
async def test_a_body_that_trickles_or_stops_is_closed_before_it_is_forwarded(
    run_gateway: RunGateway, beginning: bytes
) -> None:
    async with run_gateway(body_timeout=1) as gateway:
        before = len(gateway.auth.journal)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(POST + beginning)
        trickling = asyncio.create_task(_trickle(writer))
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        trickling.cancel()
        await asyncio.gather(trickling, return_exceptions=True)
        writer.close()
        assert len(gateway.auth.journal) == before


async def _trickle(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.05)


async def test_a_body_in_many_parts_is_forwarded_in_one(gateway: RunningGateway) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(POST)
    for _ in range(20):
        writer.write(b"x" * 1000)
        await asyncio.sleep(0.01)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert bytes(gateway.auth.journal[-1].body) == b"x" * 20_000
    assert gateway.auth.journal[-1].header("content-length") == "20000"
    writer.close()


@contextlib.asynccontextmanager
async def slow_clients(gateway: RunningGateway, count: int) -> AsyncIterator[None]:
    """Keep ``count`` connections open: half do not read their response, half do not send their body."""
    get = b"GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: a\r\n\r\n"
    clients = []
    try:
        for number in range(count):
            client = socket.create_connection(("127.0.0.1", gateway.port))
            clients.append(client)
            client.sendall(get if number % 2 else POST + b"x")
        yield
    finally:
        for client in clients:
            client.close()


async def test_many_slow_bodies_and_readers_do_not_block_other_clients(run_gateway: RunGateway) -> None:
    async with run_gateway(upstream_connections=8, upstream_queue=8, anonymous_rate_limit=1000) as gateway:
        answer_keys = gateway.auth.answer

        async def large(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            answer = respond(200, b"x" * 2_000_000) if seen.target.endswith("server") else answer_keys
            await answer(seen, writer)

        gateway.auth.answer = large
        async with slow_clients(gateway, 60):
            await eventually(lambda: gateway.auth.open >= 8)
            for _ in range(20):
                assert (await gateway.client.get("/.well-known/jwks.json")).status_code == 200


@contextlib.asynccontextmanager
async def unread_response(
    gateway: RunningGateway, headers: dict[str, str], line: str = "GET /api/v1/conversations"
) -> AsyncIterator[bytes]:
    """Send a request, and read the first line of the response only."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    try:
        head = f"{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nAuthorization: {headers['authorization']}\r\n\r\n"
        writer.write(head.encode())
        yield await reader.readline()
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_user_who_reads_no_response_makes_a_service_hold_a_bounded_number(run_gateway: RunGateway) -> None:
    body = b" " * (MAX_HELD_BYTES_OF_USER // 4)
    async with run_gateway() as gateway:
        gateway.history.answer = respond(200, body)
        reader = gateway.bearer()
        async with contextlib.AsyncExitStack() as stack:
            lines = [await stack.enter_async_context(unread_response(gateway, reader)) for _ in range(6)]
            assert [line.split()[1] for line in lines] == [b"200"] * 4 + [b"429"] * 2
            assert sum(endpoint.active for endpoint in gateway.pool("history").endpoints) == 4
            other = await gateway.client.get("/api/v1/conversations", headers=gateway.bearer())
            assert len(other.content) == len(body)
        await eventually(lambda: not any(endpoint.active for endpoint in gateway.pool("history").endpoints))
        assert (await gateway.client.get("/api/v1/conversations", headers=reader)).status_code == 200


async def test_an_answer_that_cost_money_is_relayed_and_the_next_request_is_refused(run_gateway: RunGateway) -> None:
    async with run_gateway() as gateway:
        gateway.chat.answer = respond(200, b" " * (MAX_HELD_BYTES_OF_USER // 4 * 3))
        reader = gateway.bearer(scope="chat:write")
        async with contextlib.AsyncExitStack() as stack:
            unread = [unread_response(gateway, reader, "POST /v1/embeddings") for _ in range(3)]
            lines = [await stack.enter_async_context(each) for each in unread]
            assert [line.split()[1] for line in lines] == [b"200", b"200", b"429"]
            assert len(gateway.chat.journal) == 2
