"""WebSockets whose client does not read, and what an open one counts on."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import connect
from websockets.frames import Opcode

from gateway.server.connections import ClientConnections
from gateway_testing.websocket_server import HEAD, KEY, frame, serving
from parley_testing import eventually


@contextlib.asynccontextmanager
async def enforced(connections: ClientConnections) -> AsyncIterator[None]:
    task = asyncio.create_task(connections.enforce_deadlines())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@contextlib.asynccontextmanager
async def unread_websocket(port: int, flood: bytes) -> AsyncIterator[None]:
    """A client that sends frames and reads nothing but the response to its handshake."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, HEAD + KEY + b"\r\n")
        await loop.sock_recv(client, 4096)
        await loop.sock_sendall(client, flood)
        yield


ENDS = [b"", frame(Opcode.CLOSE, b""), frame(Opcode.TEXT, b"\xff")]


@pytest.mark.parametrize("end", ENDS, ids=["open", "closed by the client", "closed by the gateway"])
async def test_a_client_that_reads_nothing_is_disconnected_and_its_app_ends(end: bytes) -> None:
    flood = frame(Opcode.TEXT, b"x" * 60_000) * 5 + end
    async with (
        serving(write_timeout=0.3) as (app, port),
        enforced(app.connections),
        unread_websocket(port, flood),
    ):
        await eventually(lambda: app.received)
        await eventually(lambda: not app.running)
        await eventually(lambda: not len(app.connections.limits))


async def test_a_websocket_counts_on_its_address_until_it_is_closed() -> None:
    async with serving() as (app, port), enforced(app.connections):
        async with connect(f"ws://127.0.0.1:{port}/", proxy=None) as websocket:
            await websocket.send("a")
            assert await websocket.recv() == "a"
            assert len(app.connections.limits) == 1
        await eventually(lambda: not len(app.connections.limits))
