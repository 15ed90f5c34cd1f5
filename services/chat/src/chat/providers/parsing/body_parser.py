"""Parser of a provider's response body: server-sent events, or JSON."""

from collections.abc import Iterable, Iterator
from typing import Any

from chat.providers.parsing import lenient_json
from chat.providers.parsing.lenient_json import MalformedJson
from chat.providers.parsing.sse_parser import BOM, MAX_EVENT, ProviderEvent, SseParser

MAX_LEADING_SPACE = 1024


class BodyParser:
    """Incremental parser of a response body: bytes in, events out. A body of JSON is read to its end first."""

    def __init__(self) -> None:
        self.is_json = False
        self._sse = SseParser()
        self._start = b""
        self._json = bytearray()
        self._known = self._too_long = False

    @property
    def damaged(self) -> bool:
        """Whether a part was too long."""
        return self._sse.damaged or self._too_long

    @property
    def is_between_events(self) -> bool:
        """Whether a server-sent event begins with the next byte. False before the first event."""
        return self._sse.is_between_events

    def feed(self, received: bytes) -> Iterable[ProviderEvent]:
        """Return the events that end in these bytes; empty bytes are the end."""
        if not self._known:
            received = self._start = self._start + received
            begin = received.removeprefix(BOM).lstrip()
            if received and len(received) < MAX_LEADING_SPACE and (not begin or BOM.startswith(received)):
                return ()
            self._known, self._start = True, b""
            self.is_json = begin[:1] in {b"{", b"["}
        if self.is_json:
            return self._feed_json(received)
        return self._sse.feed(received) if received else self._sse.finish()

    def _feed_json(self, received: bytes) -> Iterator[ProviderEvent]:
        self._json += received
        if len(self._json) > MAX_EVENT:
            self._too_long = True
            self._json.clear()
        if not received:
            yield from (ProviderEvent(b"", document) for document in _documents(bytes(self._json)))


def _documents(body: bytes) -> Iterator[bytes]:
    """Yield the objects of a body: one, an array of them, or one on each line."""
    try:
        found: Any = lenient_json.loads(body)
    except MalformedJson:
        yield from body.splitlines()
        return
    if not isinstance(found, list):
        yield body
        return
    for document in found:
        yield lenient_json.dumps(document).encode("utf-8", "surrogatepass")
