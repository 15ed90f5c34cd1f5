"""Undocumented names of aiohttp: the cheap read returns what ``readany`` does. Fails when a new version changes one."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from chat.providers.aiohttp_internals import reader_of
from parley_testing.waiting import eventually

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
        read = reader_of(found.content).read
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
        assert await whole(reader_of(found.content).read) == b"".join(parts)


async def test_a_compressed_body_is_read_by_aiohttp_itself() -> None:
    async with response(CHUNKED + b"content-encoding: gzip\r\n") as (found, peer):
        peer.write(chunked(gzip.compress(LARGE)) + b"0\r\n\r\n")
        assert await whole(reader_of(found.content).read) == LARGE


async def test_an_error_ends_the_wait_and_every_later_read() -> None:
    async with response() as (found, _):
        read = reader_of(found.content).read
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
            await whole(reader_of(found.content).read)


class Sink:
    """Takes what is pushed, except for the bytes that it refuses."""

    def __init__(self, *refused: bytes) -> None:
        self.refused, self.taken = refused, b""

    def push(self, received: bytes) -> bool:
        self.taken += received
        return received not in self.refused

    async def until(self, taken: bytes) -> None:
        await eventually(lambda: self.taken == taken)


async def test_what_arrives_during_a_wait_is_pushed_and_the_wait_goes_on_to_the_end() -> None:
    async with response() as (found, peer):
        sink = Sink()
        waiting = asyncio.ensure_future(reader_of(found.content).read(sink.push))
        await asyncio.sleep(0)
        peer.write(chunked(b"a"))
        await sink.until(b"a")
        peer.write(chunked(b"b", b"c"))
        await sink.until(b"abc")
        assert not waiting.done()
        peer.write(b"0\r\n\r\n")
        assert await waiting == b""


async def test_a_wait_ends_when_the_pushed_bytes_end_it_and_later_bytes_are_read() -> None:
    async with response() as (found, peer):
        sink, reader = Sink(b"b"), reader_of(found.content)
        waiting = asyncio.ensure_future(reader.read(sink.push))
        await asyncio.sleep(0)
        peer.write(chunked(b"a", b"b", b"c") + b"0\r\n\r\n")
        assert await waiting == b""
        assert (sink.taken, await whole(reader.read)) == (b"ab", b"c")


async def test_what_has_arrived_before_a_wait_is_returned_and_not_pushed() -> None:
    async with response() as (found, peer):
        sink, reader = Sink(), reader_of(found.content)
        peer.write(chunked(b"a"))
        await eventually(lambda: found.content.total_bytes)
        assert (await reader.read(sink.push), sink.taken) == (b"a", b"")


async def test_a_cancelled_wait_pushes_nothing_more() -> None:
    async with response() as (found, peer):
        sink, reader = Sink(), reader_of(found.content)
        waiting = asyncio.ensure_future(reader.read(sink.push))
        await asyncio.sleep(0)
        waiting.cancel()
        peer.write(chunked(b"a"))
        await asyncio.wait({waiting})
        assert (await reader.read(), sink.taken) == (b"a", b"")


async def test_an_error_ends_a_wait_that_pushes() -> None:
    async with response() as (found, _):
        waiting = asyncio.ensure_future(reader_of(found.content).read(Sink().push))
        await asyncio.sleep(0)
        found.content.set_exception(LookupError())
        with pytest.raises(LookupError):
            await waiting
