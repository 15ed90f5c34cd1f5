"""Framing rules of the server protocol: ambiguous requests are refused, with what follows them."""

from collections.abc import AsyncIterator

import pytest

from gateway_testing.echo_server import EchoServer, post, serve

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[EchoServer]:
    async with serve() as running:
        yield running


VECTORS = {
    "length and chunked": post(b"Host: a", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked and length": post(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n"),
    "two equal lengths": post(b"Host: a", b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "two lengths in one": post(b"Host: a", b"Content-Length: 2, 2", body=b"{}"),
    "two different lengths": post(b"Host: a", b"Content-Length: 2", b"Content-Length: 9", body=b"{}"),
    "signed length": post(b"Host: a", b"Content-Length: +2", body=b"{}"),
    "negative length": post(b"Host: a", b"Content-Length: -2", body=b"{}"),
    "hexadecimal length": post(b"Host: a", b"Content-Length: 0x2", body=b"{}"),
    "empty length": post(b"Host: a", b"Content-Length: ", body=b"{}"),
    "huge length": post(b"Host: a", b"Content-Length: 99999999999999999999", body=b"{}"),
    "unknown coding": post(b"Host: a", b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "chunked then identity": post(b"Host: a", b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "gzip then chunked": post(b"Host: a", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunked twice": post(b"Host: a", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "space before the colon": post(b"Host: a", b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    "chunked by HTTP/1.0": post(b"Host: a", b"Transfer-Encoding: chunked", version=b"1.0", body=b"0\r\n\r\n"),
    "quoted chunked": post(b"Host: a", b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "chunk ended by LF": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"2\n{}\r\n0\r\n\r\n"),
    "chunk with a bad end": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"2\r\n{}XX0\r\n\r\n"),
    "LF in an extension": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"2;a=\nb\r\n{}\r\n0\r\n\r\n"),
    "hexadecimal prefix": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "signed chunk": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"+2\r\n{}\r\n0\r\n\r\n"),
    "negative chunk": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n"),
    "overflowing chunk": post(b"Host: a", b"Transfer-Encoding: chunked", body=b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
    "bare LF": b"POST /body HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
    "bare CR in a value": post(b"Host: a", b"X-A: b\rContent-Length: 2", body=b"{}"),
    "folded field": post(b"Host: a", b"X-A: b\r\n c", b"Content-Length: 2", body=b"{}"),
    "NUL in a value": post(b"Host: a", b"X-A: b\x00c", b"Content-Length: 2", body=b"{}"),
    "NUL in a name": post(b"Host: a", b"X\x00A: b", b"Content-Length: 2", body=b"{}"),
    "empty name": post(b"Host: a", b": b", b"Content-Length: 2", body=b"{}"),
    "field without a colon": post(b"Host: a", b"Rubbish", b"Content-Length: 2", body=b"{}"),
    "space before a field": post(b" Host: a", b"Content-Length: 2", body=b"{}"),
    "no Host": post(b"Content-Length: 2", body=b"{}"),
    "two Hosts": post(b"Host: a", b"Host: b", b"Content-Length: 2", body=b"{}"),
    "Host with a path": post(b"Host: a/b", b"Content-Length: 2", body=b"{}"),
    "Host with a space": post(b"Host: a b", b"Content-Length: 2", body=b"{}"),
    "HTTP/1.2": post(b"Host: a", b"Content-Length: 2", version=b"1.2", body=b"{}"),
    "HTTP/2.0 by a request line of HTTP/1": post(b"Host: a", b"Content-Length: 2", version=b"2.0", body=b"{}"),
    "HTTP/0.9": b"GET /smuggled\r\n\r\n",
    "raw byte in the path": post(b"Host: a", b"Content-Length: 2", path=b"/\x80body", body=b"{}"),
    "upgrade with two lengths": post(
        b"Host: a", b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 2", b"Content-Length: 2", body=b"{}"
    ),
    "upgrade with length and chunked": post(
        b"Host: a",
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        body=b"0\r\n\r\n",
    ),
    "upgrade ended by LF": b"POST /body HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\n",
    "upgrade of CONNECT": b"CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", VECTORS)
async def test_ambiguous_requests_are_rejected_and_the_data_after_them_is_ignored(
    server: EchoServer, name: str
) -> None:
    before, counted = len(server.app.paths), len(server.refusals.counted)
    response = await server.send_bytes(VECTORS[name] + SMUGGLED)
    assert response.startswith(b"HTTP/1.1 4"), response
    assert response.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in response
    assert len(server.refusals.counted) == counted + 1
    assert "/smuggled" not in server.app.paths[before:]


async def test_a_plain_request_is_accepted(server: EchoServer) -> None:
    response = await server.send_bytes(post(b"Host: a", b"Content-Length: 2", b"Connection: close", body=b"{}"))
    assert response.startswith(b"HTTP/1.1 200")
    assert response.endswith(b"/body {}")


async def test_trailers_are_ignored(server: EchoServer) -> None:
    body = b"2\r\n{}\r\n0\r\nX-User-Id: root\r\n\r\n"
    request = post(b"Host: a", b"Transfer-Encoding: chunked", b"Connection: close", body=body)
    assert (await server.send_bytes(request)).endswith(b"/body {}")
    assert b"x-user-id" not in dict(server.app.headers[-1])


@pytest.mark.parametrize("endless", [b"0\r\nX-Long: ", b"0\r\n" + b"X-A: b\r\n" * 40_000, b"2;extension="])
async def test_endless_trailers_and_chunk_extensions_are_rejected(server: EchoServer, endless: bytes) -> None:
    before = len(server.refusals.counted)
    body = b"2\r\n{}\r\n" + endless + b"a" * 1_000_000
    response = await server.send_bytes(post(b"Host: a", b"Transfer-Encoding: chunked", body=body))
    assert response.startswith(b"HTTP/1.1 431")
    assert len(server.refusals.counted) == before + 1


async def test_a_body_in_many_chunks_has_more_framing_than_a_head_may_have(server: EchoServer) -> None:
    body = b"1;a=b\r\nx\r\n" * 40_000 + b"0\r\n\r\n"
    request = post(b"Host: a", b"Transfer-Encoding: chunked", b"Connection: close", body=body)
    assert (await server.send_bytes(request)).endswith(b"x" * 40_000)


@pytest.mark.parametrize("count", [200, 3000])
async def test_too_many_header_fields_are_rejected(server: EchoServer, count: int) -> None:
    fields = b"".join(b"X-%d: a\r\n" % number for number in range(count))
    assert (await server.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\n" + fields)).startswith(b"HTTP/1.1 431")
