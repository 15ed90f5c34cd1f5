"""A Redis server inside the event loop of a test, which answers commands with a function."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator

Reply = int | str | bytes | None | Exception | list["Reply"]
Respond = Callable[[list[bytes]], Reply]
_HANDSHAKE = {b"HELLO", b"CLIENT", b"AUTH", b"SELECT"}


class FakeRedisServer:
    """Records the commands it receives; ``freeze`` makes it read without answering."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self.commands: list[list[bytes]] = []
        self.subscriptions = 0
        self.port = 0
        self._answering = asyncio.Event()
        self._answering.set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def count(self, name: bytes) -> int:
        """Return how many commands of this name were received."""
        return sum(command[0] == name for command in self.commands)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Answer nothing while the context is open."""
        self._answering.clear()
        try:
            yield
        finally:
            self._answering.set()

    def disconnect_clients(self) -> None:
        """Abort every open connection."""
        for writer in self._writers:
            writer.transport.abort()

    def reset_clients(self) -> None:
        """Reset every open connection, as a load balancer does with idle ones."""
        for writer in self._writers:
            opened = writer.transport.get_extra_info("socket")
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while command := await _read_command(reader):
                if command[0] not in _HANDSHAKE:
                    self.commands.append(command)
                    await self._answering.wait()
                writer.write(self._reply_to(command))
        finally:
            self._writers.discard(writer)
            writer.close()

    def _reply_to(self, command: list[bytes]) -> bytes:
        if command[0] == b"SUBSCRIBE":
            self.subscriptions += 1
            return b">3\r\n" + encode(b"subscribe") + encode(command[1]) + encode(1)
        if command[0] == b"HELLO":
            return b"%1\r\n+proto\r\n:3\r\n"
        return encode("OK" if command[0] in _HANDSHAKE else self._respond(command))


@contextlib.asynccontextmanager
async def fake_redis_server(respond: Respond) -> AsyncIterator[FakeRedisServer]:
    """Serve on a free port while the context is open."""
    fake = FakeRedisServer(respond)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    fake.port = server.sockets[0].getsockname()[1]
    async with server:
        try:
            yield fake
        finally:
            fake.disconnect_clients()


def encode(reply: Reply) -> bytes:
    """Encode a reply: ``str`` as a simple string, ``bytes`` as a bulk string, an exception as an error."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case str():
            return b"+%s\r\n" % reply.encode()
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case Exception():
            return b"-%s\r\n" % str(reply).encode()
        case list():
            return b"*%d\r\n%s" % (len(reply), b"".join(map(encode, reply)))


async def _read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """Read an array of bulk strings; return an empty list at the end of the connection."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        head = await reader.readline()
        words = []
        for _ in range(int(head[1:] or 0)):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
        return words
    return []
