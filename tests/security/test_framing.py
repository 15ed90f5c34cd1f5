"""Framing corpus: requests that two servers could read differently, sent to the whole product."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from parley_testing.security.raw_http import RawAnswer, send_raw
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e

CONCURRENCY = 16
CANARY = b"OPTIONS /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
"""The request that an attacker would smuggle. Its answer is a second response."""
LENGTHS = [
    b"+5", b"-5", b"5 5", b"5,5", b"5, 6", b"0x5", b"5;", b"5.0", b"1e1", b"5\x00", b"\xd9\xa5", b"\xef\xbc\x95",
    b"", b" ", b"99999999999999999999", b"18446744073709551616", b"five", b'"5"', b"5\t5", b"5\x0b", b"_5",
    b"5_0", b"--5",
]  # fmt: skip
CODINGS = [
    b"chunked, chunked", b"gzip, chunked", b"identity", b"chunked, identity", b"xchunked", b"chunkedx", b"chunked;q=1",
    b"chunked\x0b", b"\x0bchunked", b"chunked\x00", b'"chunked"', b"chunk ed", b"", b"cow", b"chunked,", b",chunked",
    b"trailers, chunked", b"chunked\xa0", b"chunked, cow", b"deflate", b"chunked\tx", b"'chunked'",
]  # fmt: skip
FIELDS = [
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked",
    b"Transfer\x00-Encoding: chunked", b"Transfer-Encoding\x0b: chunked", b"X: y\rTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked", b"X: y\r\n Transfer-Encoding: chunked", b"Transfer-Encoding:\r\n chunked",
    b"Content-Length : 5", b"\x0bContent-Length: 5", b"Content-Length\x00: 5", b"X: y\x00z", b": empty", b"no-colon",
    b"(Content-Length): 5", b"X y: z", b"X\x80: y", b"X: \x7fy", b"@: y", b"Host: b", b"[X]: y",
]  # fmt: skip
HOSTS = [
    b"", b"Host: a\r\nHost: a\r\n", b"Host: a b\r\n", b"Host: a@b\r\n", b"Host: a/b\r\n", b"Host: a\x00\r\n",
    b"Host: a,b\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: a\\b\r\n", b"Host: " + b"a" * 300 + b"\r\n",
    b"Host: \xc3\xa4\r\n", b"Host: a\r\n b\r\n", b"Host: a;b\r\n", b"Host: <a>\r\n", b"Host: a%00\r\n",
]  # fmt: skip
LINES = [
    b"GET\t/health HTTP/1.1", b"GET /health HTTP/2.0",
    b"GET /health HTTP/3.0", b"GET /health HTTP/0.9", b"GET /health", b"GET /health HTTP/1.1x", b"GET /health http/1.1",
    b"GET /health HTTP/1.10", b"GET /health HTTP/01.1", b"GET /health HTTP/1.", b"GET /health HTTP/1,1",
    b"get /health HTTP/1.1", b"G\x00ET /health HTTP/1.1", b"G=T /health HTTP/1.1", b"CONNECT a:80 HTTP/1.1",
    b"PRI * HTTP/2.0", b"GET health HTTP/1.1", b"GET \\health HTTP/1.1", b"GET /hea\x00lth HTTP/1.1",
    b"GET /hea lth HTTP/1.1", b"GET /health\x0b HTTP/1.1", b"GET /\x80 HTTP/1.1", b"GET http:/// HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"SSH-2.0-OpenSSH_9", b"X" * 40_000, b"GET /" + b"a" * 40_000,
]  # fmt: skip
CHUNKS = [
    b"5\n12345\r\n0\r\n\r\n", b"0x5\r\n12345\r\n0\r\n\r\n", b"-5\r\n12345\r\n0\r\n\r\n", b"+5\r\n12345\r\n0\r\n\r\n",
    b"G\r\n12345\r\n0\r\n\r\n", b"\r\n5\r\n12345\r\n0\r\n\r\n", b"5\r\n12345XX0\r\n\r\n", b"5\r\n1234567\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n12345\r\n0\r\n\r\n", b"5;a=\nb\r\n12345\r\n0\r\n\r\n", b"5 5\r\n12345\r\n0\r\n\r\n",
    b"5\r12345\r\n0\r\n\r\n", b";\r\n12345\r\n0\r\n\r\n", b"5\r\n12345\n0\r\n\r\n", b"5\x00\r\n12345\r\n0\r\n\r\n",
    b"5\r\n12345\r\n0\r\nX : y\r\n\r\n", b"5\r\n12345\r\n0\nX: y\r\n\r\n", b"5,5\r\n12345\r\n0\r\n\r\n",
]  # fmt: skip
TOLERATED = [b"GET  /health HTTP/1.1", b"GET /health  HTTP/1.1", b"\r\nGET /health HTTP/1.1"]
"""Request lines that RFC 9112 permits to accept. The gateway writes a request line of its own to the services."""
COMBINED = [
    (b"Content-Length: 5", b"Content-Length: 6"), (b"Content-Length: 5", b"Content-Length: 5"),
    (b"Content-Length: 5", b"Transfer-Encoding: chunked"), (b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    (b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 5"),
    (b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    (b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5", b"Content-Length: 5"),
    (b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: xchunked"),
]  # fmt: skip


def post(*fields: bytes, body: bytes = b"0\r\n\r\n", version: bytes = b"1.1") -> bytes:
    head = b"POST /api/v1/auth/register HTTP/%b\r\nHost: a\r\n" % version
    return head + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield each request, named after its kind and what is unusual in it."""
    for value in LENGTHS:
        yield f"length {value!r}", post(b"Content-Length: " + value)
    for value in CODINGS:
        yield f"coding {value!r}", post(b"Transfer-Encoding: " + value)
    for field in FIELDS:
        yield f"field {field!r}", post(field, b"Content-Length: 5")
    for host in HOSTS:
        yield f"host {host[:30]!r}", b"GET /health HTTP/1.1\r\n" + host + b"\r\n"
    for line in LINES:
        yield f"line {line[:30]!r}", line + b"\r\nHost: a\r\n\r\n"
    for chunks in CHUNKS:
        yield f"chunks {chunks!r}", post(b"Transfer-Encoding: chunked", body=chunks)
    for fields in COMBINED:
        yield f"fields {fields!r}", post(*fields)
    yield "chunked by HTTP/1.0", post(b"Transfer-Encoding: chunked", version=b"1.0")
    yield "bare LF", b"POST /api/v1/auth/register HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}"
    yield "bare CR", b"GET /health HTTP/1.1\rHost: a\r\r"


def is_refused(answer: RawAnswer) -> bool:
    """Return whether the only response is a refusal, and nothing after it was read."""
    return len(answer.statuses) == 1 and 400 <= answer.statuses[0] < 500 and answer.closed


async def test_every_ambiguous_request_is_refused_and_ends_its_connection(embedded: EmbeddedStack) -> None:
    cases = dict(corpus())
    slots = asyncio.Semaphore(CONCURRENCY)
    accepted: list[str] = []
    statuses: Counter[int] = Counter()

    async def attack(name: str, data: bytes) -> None:
        async with slots:
            answer = await send_raw(embedded.url, data + CANARY)
        statuses.update(answer.statuses)
        if not is_refused(answer):
            accepted.append(f"{name}: {answer.statuses}, closed: {answer.closed}, {answer.data[:80]!r}")

    await asyncio.gather(*(attack(name, data) for name, data in cases.items()))
    print(f"\nframing: {len(cases)} requests, {len(accepted)} accepted, statuses {dict(statuses)}")
    assert accepted == [], "\n".join(accepted)


async def test_a_second_request_is_answered_where_the_first_has_one_meaning(embedded: EmbeddedStack) -> None:
    """Prove that the other test would have seen a smuggled request."""
    for line in (b"GET /health HTTP/1.1", *TOLERATED):
        answer = await send_raw(embedded.url, line + b"\r\nHost: a\r\n\r\n" + CANARY)
        assert answer.statuses == [200, 204], line


@pytest.mark.parametrize("protocol", [b"h2c", b"TLS/1.2", b"h2c, websocket"])
async def test_the_body_of_a_request_with_an_ignored_upgrade_is_no_request(
    embedded: EmbeddedStack, protocol: bytes
) -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AA")
    answer = await send_raw(embedded.url, post(*offer, b"Content-Length: %d" % len(CANARY), body=CANARY) + CANARY)
    assert answer.statuses == [415, 204], answer.data
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CANARY), CANARY)
    answer = await send_raw(embedded.url, post(*offer, b"Transfer-Encoding: chunked", body=chunks) + CANARY)
    assert answer.statuses == [415, 204], answer.data
