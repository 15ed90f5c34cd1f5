"""Request framing: anything but unambiguous HTTP/1.1 is rejected and closes the connection."""

import pytest

from gateway_testing.running import RunGateway, RunningGateway

pytestmark = pytest.mark.integration

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1", path: bytes = b"/api/v1/auth/register") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST %b HTTP/%b\r\n%b\r\n%b" % (path, version, lines, body)


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
    "bare LF": b"POST /api/v1/auth/register HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
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
    "HTTP/0.9": b"GET /.well-known/jwks.json\r\n\r\n",
    "raw byte in the path": post(b"Host: a", b"Content-Length: 2", path=b"/api/v1/auth/\x80register", body=b"{}"),
    "upgrade to HTTP/2": post(
        b"Host: a",
        b"Connection: Upgrade, HTTP2-Settings",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AA",
        b"Content-Length: 2",
        body=b"{}",
    ),
    "CONNECT": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("name", VECTORS)
async def test_ambiguous_requests_are_rejected_and_the_data_after_them_is_ignored(
    gateway: RunningGateway, name: str
) -> None:
    before = len(gateway.auth.journal)
    answer = await gateway.send_bytes(VECTORS[name] + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in answer
    assert len(gateway.auth.journal) == before


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/auth/../admin/users", "/api/v1//auth/register", "/api/v1/auth/%72egister", "/api/v1/auth/register%00",
        "/api/v1/auth/register%0d%0aX: y", "/api/v1/auth/erasures/%2e%2e", "/api/v1/auth/erasures/..",
        "/./api/v1/models",
        "/api/v1/conversations/a%2fmessages", "/api/v1/conversations/a;b", "/api/v1/auth/erasures/",
    ],
)  # fmt: skip
async def test_paths_that_normalise_to_another_path_do_not_exist(gateway: RunningGateway, path: str) -> None:
    before = len(gateway.auth.journal)
    answer = await gateway.send_bytes(
        b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.replace(" ", "%20").encode()
    )
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 405", b"HTTP/1.1 400")), answer
    assert len(gateway.auth.journal) == before


async def test_an_absolute_target_is_routed_by_its_path(gateway: RunningGateway) -> None:
    answer = await gateway.send_bytes(
        b"GET http://evil.example/.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200")
    assert gateway.auth.journal[-1].target == "/.well-known/jwks.json"


async def test_heads_over_the_limit_are_rejected_before_they_are_complete(gateway: RunningGateway) -> None:
    many = b"".join(b"X-%d: a\r\n" % number for number in range(200))
    answer = await gateway.send_bytes(b"GET /health HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 431")
    endless = await gateway.send_bytes(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 300_000)
    assert endless.startswith(b"HTTP/1.1 431")
    target = await gateway.send_bytes(b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert target.startswith(b"HTTP/1.1 431")


async def test_request_trailers_are_not_forwarded(gateway: RunningGateway) -> None:
    body = b"2\r\n{}\r\n0\r\nX-User-Id: root\r\nAuthorization: Bearer x\r\n\r\n"
    request = post(b"Host: a", b"Transfer-Encoding: chunked", b"Trailer: X-User-Id", b"Connection: close", body=body)
    answer = await gateway.send_bytes(request)
    assert answer.startswith(b"HTTP/1.1 200")
    seen = gateway.auth.journal[-1]
    assert bytes(seen.body) == b"{}"
    assert not {"x-user-id", "authorization", "trailer", "transfer-encoding"} & {name for name, _ in seen.headers}


async def test_a_silent_client_and_a_slow_head_are_closed_at_the_deadline(run_gateway: RunGateway) -> None:
    async with run_gateway(header_timeout=0.3) as gateway:
        assert await gateway.send_bytes(b"", within=3) == b""
        assert await gateway.send_bytes(b"GET /health HTTP/1.1\r\nHost: a\r\n", within=3) == b""


async def test_http_1_0_clients_get_no_chunks(gateway: RunningGateway) -> None:
    answer = await gateway.send_bytes(b"GET /.well-known/jwks.json HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in answer.lower()
    assert b"connection: close" in answer.lower()


async def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    first = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = await gateway.send_bytes(first + SMUGGLED + last)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert answer.index(b'"service":"gateway"') < answer.index(b'"keys"') < answer.index(b'"ready"')
