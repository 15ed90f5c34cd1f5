"""Rows of the search index for a database that is filled with COPY, as the function `index_messages` makes them."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg
from history_data import MessageRow  # type: ignore[import-not-found]

from history.search.tokenizer import MARK, index_terms

SEGMENT_SIZE = 256
COLUMNS = ("message_id", "conversation_id", "segment_id", "role", "created_at", "terms")


@dataclass
class IndexRow:
    """A row of the table `search_segments`."""

    id: int
    user_id: UUID
    position: int
    first_at: datetime
    last_at: datetime
    size: int = 0


class IndexWriter:
    """Puts messages into segments of their users, and their terms into the index."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._segments: list[IndexRow] = []
        self._newest: dict[UUID, IndexRow] = {}

    async def write(self, messages: Iterable[MessageRow]) -> None:
        """Copy the search rows of messages."""
        lines = "".join(self._line(row) for row in messages)
        await self._connection.copy_to_table("message_search", source=io.BytesIO(lines.encode()), columns=list(COLUMNS))

    async def finish(self) -> None:
        """Copy the segments."""
        columns = ["id", "user_id", "position", "first_at", "last_at", "size"]
        records = [tuple(getattr(one, name) for name in columns) for one in self._segments]
        await self._connection.copy_records_to_table("search_segments", records=records, columns=columns)
        await self._connection.execute("SELECT setval('search_segments_id_seq', $1)", max(1, len(records)))

    def _line(self, row: MessageRow) -> str:
        segment = self._newest.get(row.user_id)
        if segment is None or segment.size == SEGMENT_SIZE:
            position = segment.position + 1 if segment else 0
            segment = IndexRow(len(self._segments) + 1, row.user_id, position, row.created_at, row.created_at)
            self._newest[row.user_id] = segment
            self._segments.append(segment)
        segment.size += 1
        segment.first_at, segment.last_at = min(segment.first_at, row.created_at), max(segment.last_at, row.created_at)
        terms = index_terms(row.content).replace(MARK, f"{segment.id:x}:")
        values = (row.id, row.conversation_id, segment.id, row.role, row.created_at.isoformat(), terms)
        return "\t".join(map(str, values)) + "\n"
