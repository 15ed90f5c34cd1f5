"""Format of replicated turn logs: one Redis stream per turn, with ids ``<epoch>-<seq>``."""

from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID

import orjson

from chat.model import LogEntry
from chat.running.turn_log_store import LogItem

LIFETIME = 86_400
"""Seconds until the log of a running turn expires."""
ENTRY, END = b"e", b"end"


@lru_cache(maxsize=4096)
def key_of(turn_id: UUID) -> str:
    """Return the Redis key of a turn's log."""
    return f"parley:turn:{turn_id}"


def turn_id_of(key: bytes) -> UUID:
    """Return the turn ID of a log's key."""
    return UUID(key.decode().rpartition(":")[2])


def encode_entry(entry: LogEntry | None) -> bytes:
    """Encode an entry, or the start of a log."""
    return orjson.dumps(None if entry is None else entry.to_json())


def position_of(identifier: bytes) -> tuple[int, int]:
    """Return the epoch and seq of a stream ID."""
    epoch, _, seq = identifier.decode().partition("-")
    return int(epoch), int(seq)


def decode_item(identifier: bytes, fields: Mapping[bytes, bytes]) -> LogItem:
    """Decode an item of a stream."""
    epoch, seq = position_of(identifier)
    stored = orjson.loads(fields[ENTRY]) if ENTRY in fields else None
    return LogItem(epoch, seq, None if stored is None else LogEntry.from_json(stored), END in fields)
