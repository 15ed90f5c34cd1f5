"""Response relaying: complete responses, and streamed ones."""

import asyncio
import gzip
from typing import Any

import pytest

from gateway.access.cors import Cors
from gateway.http import Header
from gateway.proxy.relaying import PIECE_SIZE, ResponseRelay
from gateway.proxy.response_headers import ResponseHeaders
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.failures import ConnectionBroken
from gateway_testing.fakes import make_request
from parley.web.lifecycle import Lifecycle

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
JSON = (b"content-type", b"application/json")


class RelayedClient:
    """Collects what is sent to the client."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.parts: list[bytes] = []
        self.complete = False

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        else:
            self.parts.append(message["body"])
            self.complete = not message.get("more_body", False)

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)


@pytest.fixture
def client() -> RelayedClient:
    return RelayedClient()


@pytest.fixture
def relay() -> ResponseRelay:
    return ResponseRelay(ResponseHeaders(Cors([]), Lifecycle(), public_url="https://chat.example"), idle_timeout=5)


def response(data: bytes) -> UpstreamConnection:
    """Return a connection that has received this data."""
    connection = UpstreamConnection(lambda _: None)
    connection.start_request("POST", b"", timeout=5)
    connection.data_received(data)
    return connection


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def test_a_complete_response_has_the_headers_of_the_gateway(relay: ResponseRelay, client: RelayedClient) -> None:
    request = make_request({"x-request-id": "r1"})
    await relay.relay_complete(request, 201, [JSON], b"{}", client.send)
    assert (client.status, client.body, client.complete) == (201, b"{}", True)
    names = {name for name, _ in client.headers}
    assert {b"x-request-id", b"via", b"x-process-time", b"x-content-type-options"} <= names
    assert (b"content-length", b"2") in client.headers
    assert (request.status, request.bytes_sent) == (201, 2)


async def test_a_long_response_is_compressed_on_request(relay: ResponseRelay, client: RelayedClient) -> None:
    request = make_request({"accept-encoding": "gzip"})
    await relay.relay_complete(request, 200, [JSON], b"x" * 5000, client.send)
    assert gzip.decompress(client.body) == b"x" * 5000
    assert (b"content-encoding", b"gzip") in client.headers


async def test_the_head_of_a_response_promises_what_get_would_send(relay: ResponseRelay, client: RelayedClient) -> None:
    request = make_request({"accept-encoding": "gzip"}, method="HEAD")
    await relay.relay_complete(request, 200, [JSON, (b"content-length", b"5000")], b"", client.send)
    assert b"content-length" not in dict(client.headers)  # only the compressed body would tell
    assert (dict(client.headers)[b"content-encoding"], client.body) == (b"gzip", b"")


@pytest.mark.parametrize("accepted", ["br", "gzip"])
async def test_the_head_of_a_short_or_plain_response_has_its_length(
    relay: ResponseRelay, client: RelayedClient, accepted: str
) -> None:
    length = b"5000" if accepted == "br" else b"100"
    request = make_request({"accept-encoding": accepted}, method="HEAD")
    await relay.relay_complete(request, 200, [JSON, (b"content-length", length)], b"", client.send)
    assert dict(client.headers)[b"content-length"] == length
    assert b"content-encoding" not in dict(client.headers)


async def test_a_short_response_that_arrives_in_pieces_is_not_compressed(
    relay: ResponseRelay, client: RelayedClient
) -> None:
    request = make_request({"accept-encoding": "gzip"})
    connection = response(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none")
    connection.data_received(b"two")
    await relay.relay_streamed(request, connection, [JSON, (b"content-length", b"6")], client.send)
    assert (client.body, dict(client.headers)[b"content-length"]) == (b"onetwo", b"6")


async def test_a_very_long_response_is_sent_in_pieces(relay: ResponseRelay, client: RelayedClient) -> None:
    data = b"x" * (PIECE_SIZE * 5 + 1)
    await relay.relay_complete(make_request(), 200, [JSON], data, client.send)
    assert client.body == data
    assert max(map(len, client.parts)) == PIECE_SIZE


async def test_a_streamed_response_is_sent_while_it_arrives(relay: ResponseRelay, client: RelayedClient) -> None:
    connection = response(CHUNKED + chunk(b"one"))
    relaying = asyncio.create_task(relay.relay_streamed(make_request(), connection, [JSON], client.send))
    while client.body != b"one":
        await asyncio.sleep(0)
    connection.data_received(chunk(b"two") + b"0\r\n\r\n")
    await relaying
    assert (client.body, client.complete) == (b"onetwo", True)


async def test_a_truncated_response_is_not_completed(relay: ResponseRelay, client: RelayedClient) -> None:
    connection = response(CHUNKED + chunk(b"one"))
    connection.connection_lost(None)
    with pytest.raises(ConnectionBroken):
        await relay.relay_streamed(make_request(), connection, [JSON], client.send)
    assert not client.complete
