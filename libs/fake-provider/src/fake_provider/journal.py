"""What the provider saw: one bounded list of calls, and how each ended."""

import hashlib
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from fake_provider.schemas import ChatRequest

KEPT_HEADERS = frozenset(
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
MAX_HEADER = 1024
NEVER_ESCAPED = re.compile(r"[A-Za-z0-9 _.:-]*")  # JSON writes these as they are, so most bodies need no parsing


class Entry:
    """One call, while it runs and afterwards."""

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

    def describe(self, request: ChatRequest) -> None:
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


class Journal:
    """The newest calls, at most `size` of them and `max_bytes` of request bodies; appending costs O(1)."""

    def __init__(self, *, size: int = 100_000, bodies: bool = True, max_bytes: int = 256 * 1024 * 1024) -> None:
        self.bodies = bodies
        self.in_flight = 0
        self.peak_in_flight = 0
        self.last_seq = 0
        self.dropped = 0
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: deque[Entry] = deque()

    def open(self, headers: Iterable[tuple[bytes, bytes]]) -> Entry:
        """Begin an entry for a call that has just arrived; `close` must follow."""
        self.last_seq += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)
        entry = Entry(self.last_seq, self.in_flight, _worth_seeing(headers))
        self._entries.append(entry)
        self._forget_oldest()
        return entry

    def keep_body(self, entry: Entry, body: bytes) -> None:
        """Remember the request body, unless the journal keeps none or the entry is already forgotten."""
        if self.bodies and self._entries and entry.seq >= self._entries[0].seq:
            entry.body = body
            self._bytes += len(body)
            self._forget_oldest()

    def close(self, entry: Entry, ended: str) -> None:
        entry.ended = ended
        entry.ended_at = time.time()
        self.in_flight -= 1

    def clear(self) -> None:
        """Forget all entries; running calls go on uncounted by the list, `seq` goes on counting."""
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
        likely = contains.encode() if NEVER_ESCAPED.fullmatch(contains) else b""
        return (entry.render() for entry in self._entries if entry.seq > since and likely in entry.body)

    def _forget_oldest(self) -> None:
        while self._entries and (len(self._entries) > self._size or self._bytes > self._max_bytes):
            self._bytes -= len(self._entries.popleft().body)
            self.dropped += 1


def redacted(value: bytes) -> bytes:
    """Return a secret header as `Bearer sha256:<12 hex digits>`: enough to compare, useless to replay."""
    scheme, space, secret = value.partition(b" ")
    digest = b"sha256:" + hashlib.sha256(secret if space else value).hexdigest()[:12].encode()
    return scheme + b" " + digest if space else digest


def _worth_seeing(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (name, redacted(value) if name in SECRET_HEADERS else value[:MAX_HEADER])
        for name, value in headers
        if name in KEPT_HEADERS or name in SECRET_HEADERS
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
