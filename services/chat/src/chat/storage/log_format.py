"""How the copy of a log looks in Redis: one stream for each turn, its ids ``<epoch>-<seq>``."""

from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID

import orjson

from chat.model import LogEntry
from chat.running.log_store import LogItem

LIFETIME = 86_400
"""Seconds for which the copy of a running turn is kept."""
ENTRY, END = b"e", b"end"


@lru_cache(maxsize=4096)
def key_of(turn_id: UUID) -> str:
    """Return the key of a turn's log."""
    return f"parley:turn:{turn_id}"


def turn_id_of(key: bytes) -> UUID:
    """Return the turn of a log's key."""
    return UUID(key.decode().rpartition(":")[2])


def dumped(entry: LogEntry | None) -> bytes:
    """Return an entry, or a log's beginning, as it is kept."""
    return orjson.dumps(entry.to_json() if entry else None)


def position_of(identifier: bytes) -> tuple[int, int]:
    """Return epoch and seq of an id."""
    epoch, _, seq = identifier.decode().partition("-")
    return int(epoch), int(seq)


def copied(identifier: bytes, fields: Mapping[bytes, bytes]) -> LogItem:
    """Return what an item of a stream means."""
    epoch, seq = position_of(identifier)
    stored = orjson.loads(fields[ENTRY]) if ENTRY in fields else None
    return LogItem(epoch, seq, None if stored is None else LogEntry.from_json(stored), END in fields)
