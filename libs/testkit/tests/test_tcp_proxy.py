"""TCP proxy: effect and counters of each fault."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from parley_testing.faults.tcp_proxy import TcpProxy, Toxics
from parley_testing.waiting import eventually

BIG = b"x" * 200_000
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    """Run a server that echoes bytes and closes after the client."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.fixture
async def proxy(echo_port: int) -> AsyncIterator[TcpProxy]:
    async with TcpProxy("127.0.0.1", echo_port) as opened:
        yield opened


@pytest.fixture
async def client(proxy: TcpProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield reader, writer
    writer.transport.abort()


async def send(client: Streams, data: bytes) -> bytes:
    reader, writer = client
    writer.write(data)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(data))


async def test_without_faults_all_bytes_are_forwarded_and_counted(proxy: TcpProxy, client: Streams) -> None:
    assert await send(client, BIG) == BIG
    assert (proxy.counters.accepted, proxy.open_connections) == (1, 1)
    await eventually(lambda: (proxy.counters.forward, proxy.counters.backward) == (len(BIG), len(BIG)))


async def test_the_end_of_the_request_reaches_the_target_and_the_response_the_client(
    proxy: TcpProxy, client: Streams
) -> None:
    reader, writer = client
    writer.write(b"last words")
    writer.write_eof()
    async with asyncio.timeout(30):
        assert await reader.read() == b"last words"
    await eventually(lambda: proxy.open_connections == 0)


async def test_latency_delays_both_directions(proxy: TcpProxy, client: Streams) -> None:
    proxy.toxics.latency = 0.1
    began = time.monotonic()
    assert await send(client, b"ping") == b"ping"
    assert time.monotonic() - began >= 0.2


async def test_bandwidth_limits_the_bytes_per_second(proxy: TcpProxy, client: Streams) -> None:
    proxy.toxics.bandwidth = 500_000
    began = time.monotonic()
    assert await send(client, BIG) == BIG
    assert time.monotonic() - began >= 0.35


async def test_slices_arrive_in_parts_and_complete(proxy: TcpProxy, client: Streams) -> None:
    proxy.toxics.slice = 3
    reader, writer = client
    writer.write(b"abcdefgh")
    pieces: list[bytes] = []
    async with asyncio.timeout(30):
        while sum(map(len, pieces)) < 8:
            pieces.append(await reader.read(8))
    assert b"".join(pieces) == b"abcdefgh"
    assert all(len(piece) <= 8 for piece in pieces)


async def test_a_black_hole_forwards_nothing_and_keeps_the_connection(proxy: TcpProxy, client: Streams) -> None:
    reader, writer = client
    async with proxy.with_toxics(Toxics(black_hole=True)):
        writer.write(b"lost")
        await eventually(lambda: proxy.counters.swallowed == 4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.1)
        assert proxy.open_connections == 1
    assert await send(client, b"found") == b"found"


async def test_muted_clients_still_receive_from_the_target() -> None:
    heard: list[bytes] = []
    muted = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await muted.wait()
        writer.write(b"still here")
        heard.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, TcpProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        async with proxy.with_toxics(Toxics(mute_clients=True)):
            writer.write(b"unheard")
            await eventually(lambda: proxy.counters.swallowed == 7)
            muted.set()
            assert await asyncio.wait_for(reader.readexactly(10), 5) == b"still here"
            writer.close()
            await eventually(lambda: heard == [b""])


async def test_a_cut_resets_the_connection(proxy: TcpProxy, client: Streams) -> None:
    await send(client, b"ping")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(30):
            await client[0].readexactly(1)
    assert proxy.counters.cut == 1
    await eventually(lambda: proxy.open_connections == 0)


async def test_a_cut_without_a_connection_fails(proxy: TcpProxy) -> None:
    with pytest.raises(AssertionError, match="no connection"):
        proxy.cut()
    with pytest.raises(AssertionError, match="no connection"):
        proxy.half_close()


async def test_a_half_closed_client_reads_the_end_and_may_still_send(proxy: TcpProxy, client: Streams) -> None:
    await send(client, b"ping")
    proxy.half_close()
    reader, writer = client
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    before = proxy.counters.forward
    writer.write(b"more")
    await eventually(lambda: proxy.counters.forward == before + 4)
    assert proxy.counters.half_closed == 1


async def test_refusing_resets_new_connections_only(proxy: TcpProxy, client: Streams) -> None:
    await send(client, b"ping")
    proxy.toxics.refuse = True
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(30):
            await reader.readexactly(1)
    writer.transport.abort()
    assert proxy.counters.refused == 1
    assert await send(client, b"pong") == b"pong"


async def test_an_unreachable_target_resets_the_client(echo_port: int) -> None:
    async with TcpProxy("127.0.0.1", 1) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(30):
                await reader.readexactly(1)
        writer.transport.abort()


async def test_a_proxy_that_does_not_listen_refuses_and_keeps_open_connections(
    proxy: TcpProxy, client: Streams
) -> None:
    port = proxy.port
    proxy.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert await send(client, b"still open") == b"still open"
    await proxy.listen(None)
    _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.close()
