"""Request bodies: the first part, the framing for the service, and the streamed rest."""

import asyncio
from typing import Any

import pytest

from gateway.errors import ClientDisconnected
from gateway.proxy.bodies import EMPTY_BODY, NO_BODY, receive_first, stream_rest
from gateway.routes import route
from gateway.server.framing import MIN_BODY_PREFIX
from gateway.upstream.connection import UpstreamConnection
from gateway_testing.fakes import FakeTransport, make_request
from parley.errors import BodyTooLarge

UPLOAD = route("POST", "/upload", "history", None, max_body=100_000)
CHUNKED = {"transfer-encoding": "chunked"}


class BodySender:
    """Sends a body in parts, then disconnects or stays silent."""

    def __init__(self, *parts: bytes, complete: bool = True) -> None:
        last = len(parts) - 1
        self._messages: list[dict[str, Any]] = [
            {"type": "http.request", "body": part, "more_body": not (complete and number == last)}
            for number, part in enumerate(parts)
        ]

    async def receive(self) -> dict[str, Any]:
        return self._messages.pop(0) if self._messages else {"type": "http.disconnect"}


def upstream() -> tuple[UpstreamConnection, FakeTransport]:
    connection, transport = UpstreamConnection(lambda _: None), FakeTransport()
    connection.connection_made(transport)
    connection.start_request("POST", b"", timeout=5)
    return connection, transport


async def test_a_request_without_a_body_has_no_framing_unless_its_method_implies_one() -> None:
    assert await receive_first(make_request(), UPLOAD, BodySender().receive) is NO_BODY
    assert await receive_first(make_request(method="POST"), UPLOAD, BodySender().receive) is EMPTY_BODY


@pytest.mark.parametrize("headers", [{"content-length": "4"}, CHUNKED])
async def test_a_complete_body_is_forwarded_with_its_length(headers: dict[str, str]) -> None:
    body = await receive_first(make_request(headers, method="POST"), UPLOAD, BodySender(b"ab", b"cd").receive)
    assert (body.first, body.more, body.framing) == (b"abcd", False, b"content-length: 4\r\n")


async def test_the_first_part_of_a_long_body_has_the_minimum_size() -> None:
    request = make_request({"content-length": "90000"}, method="POST")
    body = await receive_first(request, UPLOAD, BodySender(*[b"x" * 10_000] * 9).receive)
    assert MIN_BODY_PREFIX <= len(body.first) < MIN_BODY_PREFIX + 10_000
    assert (body.more, body.framing) == (True, b"content-length: 90000\r\n")


@pytest.mark.parametrize("headers", [{"content-length": "100001"}, CHUNKED])
async def test_a_first_part_over_the_limit_is_rejected(headers: dict[str, str]) -> None:
    with pytest.raises(BodyTooLarge, match="must not exceed 100000 bytes"):
        await receive_first(make_request(headers, method="POST"), UPLOAD, BodySender(b"x" * 100_001).receive)


async def test_a_disconnect_in_the_first_part_is_raised() -> None:
    with pytest.raises(ClientDisconnected):
        await receive_first(make_request(CHUNKED, method="POST"), UPLOAD, BodySender(b"x", complete=False).receive)


async def test_the_rest_of_a_body_without_a_length_is_streamed_in_chunks() -> None:
    client = BodySender(b"x" * MIN_BODY_PREFIX, b"second", b"third")
    body = await receive_first(make_request(CHUNKED, method="POST"), UPLOAD, client.receive)
    connection, transport = upstream()
    await stream_rest(connection, UPLOAD, body, client.receive)
    assert body.first == b"%x\r\n%b\r\n" % (MIN_BODY_PREFIX, b"x" * MIN_BODY_PREFIX)
    assert transport.written == b"6\r\nsecond\r\n5\r\nthird\r\n0\r\n\r\n"


async def test_a_body_that_grows_over_the_limit_fails_the_request() -> None:
    client = BodySender(b"x" * MIN_BODY_PREFIX, b"x" * 70_000)
    body = await receive_first(make_request(CHUNKED, method="POST"), UPLOAD, client.receive)
    connection, transport = upstream()
    waiting = asyncio.ensure_future(connection.read_head())
    await asyncio.sleep(0)
    await stream_rest(connection, UPLOAD, body, client.receive)
    with pytest.raises(BodyTooLarge):
        await waiting
    assert transport.aborted


async def test_a_disconnect_in_the_rest_fails_the_request() -> None:
    client = BodySender(b"x" * MIN_BODY_PREFIX, complete=False)
    body = await receive_first(make_request(CHUNKED, method="POST"), UPLOAD, client.receive)
    connection, _ = upstream()
    await stream_rest(connection, UPLOAD, body, client.receive)
    with pytest.raises(ClientDisconnected):
        await connection.read_head()
