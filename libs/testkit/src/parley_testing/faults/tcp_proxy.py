"""TCP proxy with faults: latency, bandwidth, slices, black hole, half-close, reset."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

CHUNK = 65_536
CONNECT_TIMEOUT = 5.0
CLOSE_TIMEOUT = 5.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 seconds: closing sends RST."""


@dataclass
class Toxics:
    """Faults of the connection; they may change while connections are open."""

    latency: float = 0
    """Delay of every chunk in seconds."""
    bandwidth: float = 0
    """Bytes per second in each direction; 0 for no limit."""
    slice: int = CHUNK
    """Maximum bytes forwarded at once."""
    black_hole: bool = False
    """Read bytes and forward nothing; the connections stay open."""
    mute_clients: bool = False
    """Read bytes of clients and forward none; bytes of the target are forwarded."""
    refuse: bool = False
    """Reset every new connection."""


@dataclass
class Counters:
    """Counts with which a test asserts that its fault took effect."""

    accepted: int = 0
    refused: int = 0
    cut: int = 0
    half_closed: int = 0
    forward: int = 0
    """Bytes from clients to the target."""
    backward: int = 0
    """Bytes from the target to clients."""
    swallowed: int = 0
    """Bytes that were read and not forwarded."""


class _Connection:
    """One client and its connection to the target."""

    def __init__(self, proxy: "TcpProxy", client: asyncio.StreamWriter) -> None:
        self.proxy, self.client = proxy, client
        self.target: asyncio.StreamWriter | None = None

    async def run(self, reader: asyncio.StreamReader) -> None:
        target, port = self.proxy.target
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                from_target, self.target = await open_target(target, port)
        except OSError:
            self.reset()
            return
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, self.target, forward=True))
                group.create_task(self._pump(from_target, self.client, forward=False))
        except* OSError:
            self.reset()
        finally:
            await _close(self.client)
            await _close(self.target)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, forward: bool) -> None:
        counters = self.proxy.counters
        while data := await reader.read(min(CHUNK, max(1, self.proxy.toxics.slice))):
            toxics = self.proxy.toxics
            if toxics.latency:
                await asyncio.sleep(toxics.latency)
            if toxics.bandwidth:
                await asyncio.sleep(len(data) / toxics.bandwidth)
            if toxics.black_hole or (toxics.mute_clients and forward):
                counters.swallowed += len(data)
                continue
            writer.write(data)
            await writer.drain()
            counters.forward += len(data) if forward else 0
            counters.backward += 0 if forward else len(data)
        if not self.proxy.toxics.black_hole and not writer.is_closing():
            writer.write_eof()

    def reset(self) -> None:
        """Reset the connection on both sides."""
        for writer in (self.client, self.target):
            if writer is not None and not writer.transport.is_closing():
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    def end_answers(self) -> None:
        """Send FIN to the client; its bytes are still forwarded."""
        self.client.write_eof()


async def open_target(host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a host and port, or to the path of a Unix socket."""
    if host.startswith("/"):
        return await asyncio.open_unix_connection(host)
    return await asyncio.open_connection(host, port)


class TcpProxy:
    """Listens on ``port`` of 127.0.0.1, or on ``listener``, and forwards bytes to the target ``host`` and ``port``.

    ``host`` may be the path of a Unix socket.
    """

    def __init__(self, host: str, port: int, *, listener: socket.socket | None = None) -> None:
        self.target, self._listener = (host, port), listener
        self.toxics = Toxics()
        self.counters = Counters()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that the proxy listens on."""
        assert self._server is not None, "the proxy was not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def open_connections(self) -> int:
        """The number of connected clients."""
        return len(self._connections)

    def cut(self) -> None:
        """Reset every open connection; assert that there was one."""
        assert self._connections, "no connection to cut"
        for connection in list(self._connections):
            connection.reset()
            self.counters.cut += 1

    def half_close(self) -> None:
        """Close the direction to the client of every open connection; assert that there was one."""
        assert self._connections, "no connection to half-close"
        for connection in self._connections:
            connection.end_answers()
            self.counters.half_closed += 1

    @contextlib.asynccontextmanager
    async def with_toxics(self, toxics: Toxics) -> AsyncIterator[Toxics]:
        """Replace the faults in a context."""
        before, self.toxics = self.toxics, toxics
        try:
            yield toxics
        finally:
            self.toxics = before

    def stop_listening(self) -> None:
        """Let the kernel refuse new connections, as it does after the target's process has ended."""
        assert self._server is not None
        self._server.close()

    async def listen(self, listener: socket.socket | None) -> None:
        """Accept connections at a listening socket, or at a free port of 127.0.0.1."""
        if listener is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        else:
            self._server = await asyncio.start_server(self._accept, sock=listener)

    async def __aenter__(self) -> Self:
        await self.listen(self._listener)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, writer)
        if self.toxics.refuse:
            self.counters.refused += 1
            connection.reset()
            return
        self.counters.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._connections.add(connection)
        try:
            await connection.run(reader)
        except asyncio.CancelledError:
            pass  # the proxy ends; asyncio would log the cancelled task of a connection as an error
        finally:
            self._connections.discard(connection)
            self._tasks.discard(task)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await writer.wait_closed()
