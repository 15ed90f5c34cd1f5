"""Upstream connections: response parsing, limits, and reuse."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.connection import HIGH_WATER, UpstreamConnection
from gateway.upstream.failures import ConnectionBroken
from gateway_testing.fakes import FakeTransport

BODY = st.binary(max_size=300)


def started(method: str = "GET") -> tuple[UpstreamConnection, FakeTransport]:
    connection, transport = UpstreamConnection(lambda _: None), FakeTransport()
    connection.connection_made(transport)
    connection.start_request(method, b"GET / HTTP/1.1\r\n\r\n", timeout=5)
    return connection, transport


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a < b]


async def collect(connection: UpstreamConnection) -> tuple[int, bytes]:
    status, body = await connection.read_head(), b""
    while data := await connection.read_body(idle_timeout=5):
        body += data
    return status, body


def answer_in_chunks(body: bytes, size: int) -> bytes:
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(part), part) for part in (body[i : i + size] for i in range(0, len(body), size))
    )
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"


async def test_a_body_that_nobody_read_is_not_part_of_the_next_response() -> None:
    connection, _ = started()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nunread")
    assert connection.reusable  # as after a reader that was cancelled when the response had arrived

    connection.start_request("GET", b"GET / HTTP/1.1\r\n\r\n", timeout=5)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread")

    assert await collect(connection) == (200, b"read")


async def test_a_response_that_nobody_requested_is_not_part_of_the_one_before_it() -> None:
    connection, _ = started()
    connection.data_received(
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread"
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nunread"
    )

    assert await collect(connection) == (200, b"read")
    assert not connection.reusable


@given(BODY, st.integers(1, 50), st.lists(st.integers(0, 1000), max_size=20))
def test_any_chunking_of_a_response_gives_the_same_body(body: bytes, size: int, cuts: list[int]) -> None:
    async def scenario() -> None:
        for data in (
            answer_in_chunks(body, size),
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
        ):
            connection, _ = started()
            reading = asyncio.ensure_future(collect(connection))
            for piece in pieces(data, cuts):
                await asyncio.sleep(0)
                connection.data_received(piece)
            assert await reading == (200, body)
            assert connection.reusable
            assert not [name for name, _ in connection.headers if name == b"x-trailer"]

    asyncio.run(scenario())


@given(BODY, st.integers(1, 50), st.integers(0, 400))
def test_a_truncated_response_is_never_complete(body: bytes, size: int, cut: int) -> None:
    data = answer_in_chunks(body, size)
    part = data[: min(cut, len(data) - 1)]

    async def scenario() -> None:
        connection, _ = started()
        if part:
            connection.data_received(part)
        connection.connection_lost(None)
        with pytest.raises(ConnectionBroken):
            await collect(connection)
        assert not connection.reusable

    asyncio.run(scenario())


async def test_an_upstream_that_is_faster_than_its_reader_is_paused() -> None:
    connection, transport = started()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * (HIGH_WATER + 1))
    assert transport.paused
    await connection.read_body(idle_timeout=1)
    assert not transport.paused


async def test_unrequested_data_closes_the_connection() -> None:
    connection, transport = started()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert connection.reusable
    connection.mark_idle(0)
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert transport.aborted


async def test_data_after_the_announced_length_prevents_reuse() -> None:
    connection, _ = started()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}garbage")
    assert await collect(connection) == (200, b"{}")
    assert not connection.reusable


async def test_an_endless_head_is_a_broken_response() -> None:
    connection, _ = started()
    connection.data_received(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(20):
        connection.data_received(b"a" * 10_000)
    with pytest.raises(ConnectionBroken):
        await connection.read_head()


class RelayingReader:
    """Waits for the body, and relays what arrives meanwhile unless it is ``slow``."""

    def __init__(self, connection: UpstreamConnection) -> None:
        self.connection, self.slow, self.relayed = connection, False, list[bytes]()
        self.task = asyncio.create_task(self.read())

    def relay(self, data: bytes) -> bool:
        if not self.slow:
            self.relayed.append(data)
        return not self.slow

    async def read(self) -> bytes:
        return await self.connection.read_body(idle_timeout=5, relay=self.relay)


async def test_data_is_relayed_at_once_while_the_reader_waits() -> None:
    connection, _ = started()
    connection.data_received(answer_in_chunks(b"", 1)[:-18])
    reader = RelayingReader(connection)
    await asyncio.sleep(0)
    connection.deadline = 0.0
    connection.data_received(b"1\r\na\r\n1\r\nb\r\n")
    connection.data_received(b"1\r\nc\r\n")
    assert reader.relayed == [b"ab", b"c"]
    assert connection.deadline > 0, "the silence begins again"
    reader.slow = True
    connection.data_received(b"1\r\nd\r\n")
    reader.slow = False
    connection.data_received(b"1\r\ne\r\n")  # not past the data that the reader has yet to send
    assert (await reader.task, reader.relayed) == (b"de", [b"ab", b"c"])


async def test_the_end_of_a_body_is_returned_and_not_relayed() -> None:
    connection, _ = started()
    connection.data_received(answer_in_chunks(b"", 1)[:-18])
    reader = RelayingReader(connection)
    await asyncio.sleep(0)
    connection.data_received(b"1\r\na\r\n0\r\n\r\n")
    assert (await reader.task, reader.relayed, connection.complete) == (b"a", [], True)


async def test_data_behind_a_failure_is_not_relayed() -> None:
    connection, _ = started()
    connection.data_received(answer_in_chunks(b"", 1)[:-18])
    reader = RelayingReader(connection)
    await asyncio.sleep(0)
    connection.fail(ConnectionBroken())
    connection.data_received(b"1\r\na\r\n")
    assert (await reader.task, reader.relayed) == (b"a", [])
    with pytest.raises(ConnectionBroken):
        await reader.read()
