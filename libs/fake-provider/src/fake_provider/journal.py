"""Journal of the calls: a bounded list with the request and the outcome of each call."""

import hashlib
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from fake_provider.schemas import ModelRequest

STORED_HEADERS = frozenset(
    (
        b"content-type",
        b"idempotency-key",
        b"openai-organization",
        b"openai-project",
        b"traceparent",
        b"tracestate",
        b"user-agent",
        b"x-request-id",
        b"x-stainless-retry-count",
    )
)
SECRET_HEADERS = frozenset((b"api-key", b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"))
MAX_HEADER_BYTES = 1024
UNESCAPED = re.compile(r"[A-Za-z0-9 _.:-]*")  # JSON does not escape these, so most bodies need no parsing


class JournalEntry:
    """One call, running or ended."""

    __slots__ = (
        "body",
        "concurrent",
        "ended",
        "ended_at",
        "first_byte_at",
        "headers",
        "max_tokens",
        "model",
        "phase",
        "received_at",
        "seq",
        "stream",
        "tokens_sent",
    )

    def __init__(self, seq: int, concurrent: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.seq = seq
        self.concurrent = concurrent
        self.headers = headers
        self.received_at = time.time()
        self.first_byte_at: float | None = None
        self.ended_at: float | None = None
        self.ended: str | None = None
        self.phase = "waiting"
        self.tokens_sent = 0
        self.model: str | None = None
        self.stream = False
        self.max_tokens: int | None = None
        self.body = b""

    def describe(self, request: ModelRequest) -> None:
        self.model = request.model
        self.stream = bool(request.stream)
        self.max_tokens = request.limit

    def render(self) -> dict[str, Any]:
        """Return the entry as JSON values; times are seconds since the epoch."""
        return {
            "seq": self.seq,
            "received_at": self.received_at,
            "first_byte_at": self.first_byte_at,
            "ended_at": self.ended_at,
            "ended": self.ended,
            "phase": self.phase,
            "tokens_sent": self.tokens_sent,
            "concurrent": self.concurrent,
            "model": self.model,
            "stream": self.stream,
            "max_tokens": self.max_tokens,
            "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in self.headers},
            "request": _decoded(self.body),
        }


class CallJournal:
    """The newest calls: at most `size` calls and `max_bytes` of request bodies. Appending takes constant time."""

    def __init__(self, *, size: int = 100_000, bodies: bool = True, max_bytes: int = 256 * 1024 * 1024) -> None:
        self.bodies = bodies
        self.in_flight = 0
        self.peak_in_flight = 0
        self.last_seq = 0
        self.dropped = 0
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: deque[JournalEntry] = deque()

    def open(self, headers: Iterable[tuple[bytes, bytes]]) -> JournalEntry:
        """Add an entry for a new call. The caller must call `close` later."""
        self.last_seq += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        entry = JournalEntry(self.last_seq, self.in_flight, _stored_headers(headers))
        self._entries.append(entry)
        self._drop_oldest()
        return entry

    def store_body(self, entry: JournalEntry, body: bytes) -> None:
        """Store the request body, unless bodies are disabled or the entry has been dropped."""
        if self.bodies and self._entries and entry.seq >= self._entries[0].seq:
            entry.body = body
            self._bytes += len(body)
            self._drop_oldest()

    def close(self, entry: JournalEntry, ended: str) -> None:
        entry.ended = ended
        entry.ended_at = time.time()
        self.in_flight -= 1

    def clear(self) -> None:
        """Remove all entries. Running calls stay in `in_flight`, and `seq` continues."""
        self._entries.clear()
        self._bytes = 0
        self.dropped = 0
        self.peak_in_flight = self.in_flight

    def select(self, *, since: int = 0, contains: str = "", limit: int | None = None) -> list[dict[str, Any]]:
        """Return the entries after `since` whose messages contain `contains`, oldest first, the newest `limit`."""
        found: deque[dict[str, Any]] = deque(maxlen=limit)
        found.extend(entry for entry in self._rendered(since, contains) if not contains or _mentions(entry, contains))
        return list(found)

    def summary(self) -> dict[str, int]:
        return {
            "last_seq": self.last_seq,
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "dropped": self.dropped,
        }

    def _rendered(self, since: int, contains: str) -> Iterator[dict[str, Any]]:
        literal = contains.encode() if UNESCAPED.fullmatch(contains) else b""
        return (entry.render() for entry in self._entries if entry.seq > since and literal in entry.body)

    def _drop_oldest(self) -> None:
        while self._entries and (len(self._entries) > self._size or self._bytes > self._max_bytes):
            self._bytes -= len(self._entries.popleft().body)
            self.dropped += 1


def redacted(value: bytes) -> bytes:
    """Return a secret header as `Bearer sha256:<12 hex digits>`, which can be compared but not used."""
    scheme, space, secret = value.partition(b" ")
    digest = b"sha256:" + hashlib.sha256(secret if space else value).hexdigest()[:12].encode()
    return scheme + b" " + digest if space else digest


def _stored_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (name, redacted(value) if name in SECRET_HEADERS else value[:MAX_HEADER_BYTES])
        for name, value in headers
        if name in STORED_HEADERS or name in SECRET_HEADERS
    )


def _decoded(body: bytes) -> Any:
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        return None


def _mentions(entry: dict[str, Any], text: str) -> bool:
    request = entry["request"]
    messages = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(messages, list):
        return False
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    return any(text in found for content in contents for found in _texts(content))


def _texts(content: object) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        yield from (part for part in parts if isinstance(part, str))
