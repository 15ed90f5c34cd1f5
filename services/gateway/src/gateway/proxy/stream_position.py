"""Position of a client in an event stream of a turn, from which another replica can continue it."""

from collections.abc import Iterable

from gateway.http import Header
from parley.process.sockets import PING_INTERVAL_SHARE

RESUME, PING = b"x-parley-resume", b"x-parley-ping"
"""Headers of a service's stream: the target that continues it, and seconds of silence before it sends a ping."""
MAX_KEPT = 2048
"""Bytes of events that are kept as they are until the cursor is needed."""
_MOVED = b": moved\n"
_MOVES = (_MOVED, _MOVED + b"\n")
"""A comment is relayed at the end of its line, so its blank line may be in the next read."""
_FIRST_ID, _ID = b"id: ", b"\nid: "


class StreamPosition:
    """What a client has received of a stream. Pieces are recorded unparsed: parsing each for its cursor costs more."""

    __slots__ = ("_counts", "_latest", "_received", "target")

    def __init__(self, target: bytes, *, counts: bool) -> None:
        """Take the target that continues the stream. ``counts``: events have no IDs; their number is the cursor."""
        self.target = target
        self._counts, self._received, self._latest = counts, 0, b""

    def record(self, events: bytes) -> None:
        """Record complete events that the client receives."""
        if self._counts:
            self._received += events.count(b"\n\n")
        elif events.startswith(_FIRST_ID) or _ID in events:  # no ping, and no piece of a long event
            self._latest = events if len(events) <= MAX_KEPT else events[max(0, events.rfind(_ID)) :][:MAX_KEPT]

    @property
    def cursor(self) -> bytes:
        """The ID of the last event, or the number of events. Empty before the first one."""
        if self._counts:
            return b"%d" % self._received
        return (b"\n" + self._latest).rpartition(_ID)[2].partition(b"\n")[0] if self._latest else b""


def stream_position(headers: Iterable[Header], *, counts: bool) -> StreamPosition | None:
    """Return the position before the first event of a stream, None for a stream that cannot be continued."""
    target = next((value for name, value in headers if name == RESUME), b"")
    return StreamPosition(target, counts=counts) if target.startswith(b"/") else None


def silence_limit(headers: Iterable[Header], *, default: float) -> float:
    """Return the seconds of silence after which the sender of a stream is lost."""
    try:
        ping = float(next((value for name, value in headers if name == PING), b""))
    except ValueError:
        return default
    return min(default, ping / PING_INTERVAL_SHARE)


def ends_moved(events: bytes) -> bool:
    """Return whether a service asks to continue the stream on another replica."""
    return events.endswith(_MOVES)


def without_move(events: bytes) -> bytes:
    """Return the events before that request."""
    return events[: events.rindex(_MOVED)]
