"""Load balancer of TCP connections, as a Service of Kubernetes is: new connections go to endpoints that are ready."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

CHUNK = 65_536


class ConnectionBalancer:
    """Passes each new connection to the next endpoint. Open connections stay where they are."""

    def __init__(self) -> None:
        self.endpoints: list[int] = []
        """Ports of the processes that get new connections."""
        self.port = 0
        self._turn = itertools.count()
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"

    def replace(self, old: int, new: int) -> None:
        """Send new connections to ``new`` instead of ``old``."""
        self.endpoints = [port for port in self.endpoints if port != old] + [new]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection until both sides have ended it."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            port = self.endpoints[next(self._turn) % len(self.endpoints)]
            upstream, to_upstream = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_pass(reader, to_upstream), _pass(upstream, writer))
            finally:
                to_upstream.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # the other side was reset or the balancer ends
        finally:
            self._open.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        """End every open connection."""
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        writer.transport.abort()
        raise
    writer.close()


@contextlib.asynccontextmanager
async def open_balancer() -> AsyncIterator[ConnectionBalancer]:
    """Listen on a free port while the context is open."""
    balancer = ConnectionBalancer()
    server = await asyncio.start_server(balancer.serve, "127.0.0.1", 0)
    balancer.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield balancer
        finally:
            await balancer.stop()  # else the server waits for the open connections
