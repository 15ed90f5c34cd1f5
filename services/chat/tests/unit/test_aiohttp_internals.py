"""Undocumented names of aiohttp: the cheap read returns what ``readany`` does. Fails when a new version changes one."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from chat.providers.aiohttp_internals import reader_of

LARGE = b"x" * 3_000_000
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n"


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


class RespondingPeer:
    """The server's side of one response."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.write: Callable[[bytes], None] = writer.write
        self.close: Callable[[], None] = writer.close


@contextlib.asynccontextmanager
async def response(head: bytes = CHUNKED) -> AsyncIterator[tuple[aiohttp.ClientResponse, RespondingPeer]]:
    """Open a response with this head."""
    peers: list[RespondingPeer] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        peers.append(RespondingPeer(writer))
        writer.write(head + b"\r\n")

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    async with (
        await asyncio.start_server(accept, "127.0.0.1", 0) as server,
        aiohttp.ClientSession(timeout=timeout, read_bufsize=65_536) as session,
    ):
        port = server.sockets[0].getsockname()[1]
        async with session.get(f"http://127.0.0.1:{port}/") as found:
            yield found, peers[0]
            peers[0].close()


async def whole(read: Callable[[], Awaitable[bytes]]) -> bytes:
    found = b""
    while piece := await read():
        found += piece
    return found


async def test_reads_return_what_has_arrived_and_nothing_at_the_end() -> None:
    async with response() as (found, peer):
        read = reader_of(found.content)
        assert read.__name__ == "read"  # not aiohttp's own
        waiting = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        peer.write(chunked(b"a", b"b"))
        first = await waiting
        peer.write(chunked(b"c") + b"0\r\n\r\n")
        assert (first + await whole(read), await read()) == (b"abc", b"")


@pytest.mark.parametrize("size", [1, 70_000])
async def test_a_body_longer_than_the_buffer_is_read_whole(size: int) -> None:
    parts = [LARGE[start : start + size] for start in range(0, 12_000 if size == 1 else len(LARGE), size)]
    async with response() as (found, peer):
        peer.write(chunked(*parts) + b"0\r\n\r\n")
        assert await whole(reader_of(found.content)) == b"".join(parts)


async def test_a_compressed_body_is_read_by_aiohttp_itself() -> None:
    async with response(CHUNKED + b"content-encoding: gzip\r\n") as (found, peer):
        assert reader_of(found.content) == found.content.readany
        peer.write(chunked(gzip.compress(LARGE)) + b"0\r\n\r\n")
        assert await whole(reader_of(found.content)) == LARGE


async def test_an_error_ends_the_wait_and_every_later_read() -> None:
    async with response() as (found, _):
        read = reader_of(found.content)
        waiting = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        found.content.set_exception(LookupError())
        for attempt in (waiting, read()):
            with pytest.raises(LookupError):
                await attempt


async def test_a_lost_connection_is_an_error_of_the_client() -> None:
    async with response() as (found, peer):
        peer.write(chunked(b"a"))
        peer.close()
        with pytest.raises(aiohttp.ClientError):
            await whole(reader_of(found.content))
