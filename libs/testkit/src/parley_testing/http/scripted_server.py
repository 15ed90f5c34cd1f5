"""HTTP server that writes the bytes a test decides on, and records the requests."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httptools


@dataclass
class RecordedRequest:
    """A request as it arrived, with header names in lower case, in order and with repetitions."""

    method: str = ""
    target: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    complete: bool = False
    first_byte: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def header(self, name: str) -> str | None:
        """Return the value of a header, or None; assert that it is not repeated."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


HEALTH = "/health"
Responder = Callable[[RecordedRequest, asyncio.StreamWriter], Awaitable[None]]


class ScriptedServer:
    """Responds with `answer`, which writes to the socket; with `answer_early`, before the body has arrived.

    With ``returns_health`` it responds to `/health` itself, as a service does whose other responses are slow; these
    requests are not recorded.
    """

    def __init__(self, answer: Responder, *, returns_health: bool = True) -> None:
        self.answer, self._returns_health = answer, returns_health
        self.answer_early = False
        self.journal: list[RecordedRequest] = []
        self.open = 0
        self.opened = 0
        self.port = 0
        self._running = asyncio.Event()
        self._running.set()
        self._server: asyncio.Server | None = None
        self._is_killed = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, again on the same port after `stop`."""
        self._is_killed = False
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse new connections and reset the open ones, as a killed process does."""
        self._is_killed = True
        self.resume()
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            self._server = None

    def freeze(self) -> None:
        """Accept connections, but read and write nothing, as a suspended process does."""
        self._running.clear()

    def resume(self) -> None:
        """Read and write again."""
        self._running.set()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_killed:  # accepted just before, when `stop` did not know it yet
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.open += 1
        self.opened += 1
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen = RecordedRequest()
            parser = _Parser(seen)
            answering: asyncio.Task[None] | None = None
            while not seen.complete:
                data = await reader.read(65_536)
                await self._running.wait()
                if not data:
                    seen.gone.set()
                    if answering is not None:
                        answering.cancel()
                    return
                parser.feed(data)
                if self._returns_health and seen.target == HEALTH:
                    await respond()(seen, writer)
                    return
                if seen.method and seen not in self.journal:
                    self.journal.append(seen)
                    if self.answer_early:
                        answering = asyncio.create_task(self.answer(seen, writer))  # type: ignore[arg-type]
            answering = answering or asyncio.create_task(self.answer(seen, writer))  # type: ignore[arg-type]
            if not await _answered(answering, reader, seen):
                return


async def _answered(answering: "asyncio.Task[None]", reader: asyncio.StreamReader, seen: RecordedRequest) -> bool:
    """Wait until the response is written; return False if the client disconnects first."""
    leaving = asyncio.create_task(_closed(reader))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            answering.result()
            return not reader.at_eof()
        seen.gone.set()
        return False
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)


async def _closed(reader: asyncio.StreamReader) -> None:
    while not reader.at_eof() and reader.exception() is None:
        await asyncio.sleep(0.01)


class _Parser:
    def __init__(self, seen: RecordedRequest) -> None:
        self.seen, self.url = seen, b""
        self.parser = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.seen.target = self.url.decode("latin-1")
        self.seen.method = self.parser.get_method().decode()

    def on_body(self, body: bytes) -> None:
        self.seen.body += body
        self.seen.first_byte.set()

    def on_message_complete(self) -> None:
        self.seen.complete = True


def respond(status: int = 200, body: bytes = b"{}", *headers: tuple[str, str]) -> Responder:
    """Return a responder that writes one complete response."""
    lines = {"content-type": "application/json", "content-length": str(len(body)), **dict(headers)}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"

    async def answer(_seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + body)
        await writer.drain()

    return answer


@contextlib.asynccontextmanager
async def scripted_server(answer: Responder | None = None) -> AsyncIterator[ScriptedServer]:
    """Run a server in a context; by default it responds `{}`."""
    upstream = ScriptedServer(answer or respond())
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()
