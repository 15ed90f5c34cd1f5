"""Request framing: anything but unambiguous HTTP/1.1 is rejected and closes the connection."""

from collections.abc import AsyncIterator

import pytest

from gateway_testing.running import RunGateway, RunningGateway, gateway_runner
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

HOST = b"Host: localhost\r\n"
SMUGGLED = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(*fields: bytes, body: bytes = b"", version: bytes = b"1.1", path: bytes = b"/api/v1/auth/register") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"POST %b HTTP/%b\r\n%b\r\n%b" % (path, version, lines, body)


# All vectors are in unit/test_framing_rules.py.
VECTORS = {
    "length and chunked": post(b"Host: a", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked by HTTP/1.0": post(b"Host: a", b"Transfer-Encoding: chunked", version=b"1.0", body=b"0\r\n\r\n"),
    "bare LF": b"POST /api/v1/auth/register HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
    "two Hosts": post(b"Host: a", b"Host: b", b"Content-Length: 2", body=b"{}"),
}


@pytest.fixture(scope="module")
async def gateway(backends: SharedBackends) -> AsyncIterator[RunningGateway]:
    """One gateway for all tests of this module: rejected requests leave no state behind."""
    async with gateway_runner(await backends.redis_url())(anonymous_rate_limit=100_000) as running:
        yield running


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
        assert await gateway.send_bytes(b"", within=20) == b""
        assert await gateway.send_bytes(b"GET /health HTTP/1.1\r\nHost: a\r\n", within=20) == b""


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
