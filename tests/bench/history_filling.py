"""Filling of a history database with COPY, its search index built afterwards."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
from history_data import Generator, MessageRow  # type: ignore[import-not-found]
from history_index import IndexWriter  # type: ignore[import-not-found]

BATCH = 5_000
"""Messages that are copied at a time."""
TIMEOUT = 3_600.0
_INVERTED = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%USING gin%'"


async def fill(dsn: str, generator: Generator) -> int:
    """Store all conversations in an empty database; return the number of messages."""
    connection = await asyncpg.connect(dsn)
    try:
        began, stored, writer = time.perf_counter(), 0, IndexWriter(connection)
        indexes = await connection.fetch(_INVERTED)
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['indexname']}")
        for batch in _batches(generator.conversations()):
            stored += await _store(connection, writer, batch)
            print(f"\r{stored:,} messages, {time.perf_counter() - began:.0f} s", end="", flush=True)
        await writer.finish()
        print(f"\r{stored:,} messages copied in {time.perf_counter() - began:.0f} s", flush=True)
        await connection.execute("SET maintenance_work_mem = '256MB'")
        for index in indexes:
            await connection.execute(index["indexdef"], timeout=TIMEOUT)
        await connection.execute("VACUUM ANALYZE", timeout=TIMEOUT)
        print(f"indexed after {time.perf_counter() - began:.0f} s", flush=True)
        return stored
    finally:
        await connection.close()


async def _store(
    connection: asyncpg.Connection, writer: IndexWriter, conversations: Sequence[Sequence[MessageRow]]
) -> int:
    messages = list(itertools.chain.from_iterable(conversations))
    await _copy(connection, "conversations", CONVERSATION_COLUMNS, map(_conversation, conversations))
    await _copy(connection, "turns", TURN_COLUMNS, (_turn(row) for row in messages if row.role == "assistant"))
    rows = [(*row, "completed") for row in messages]
    await _copy(connection, "messages", (*MessageRow._fields, "status"), rows)
    await writer.write(messages)
    return len(messages)


async def _copy(
    connection: asyncpg.Connection, table: str, columns: Iterable[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    await connection.copy_records_to_table(table, records=rows, columns=list(columns), timeout=TIMEOUT)


CONVERSATION_COLUMNS = (
    "id", "user_id", "title", "model", "message_count", "tokens_used", "last_number", "last_turn_id", "created_at",
    "updated_at", "last_message_at",
)  # fmt: skip


def _conversation(rows: Sequence[MessageRow]) -> tuple[Any, ...]:
    first, last = rows[0], rows[-1]
    tokens = sum(len(row.content) // 4 for row in rows)
    counts = (len(rows), tokens, last.number, last.turn_id)
    times = (first.created_at, last.created_at, last.created_at)
    return (first.conversation_id, first.user_id, first.content[:60], "bench", *counts, *times)


TURN_COLUMNS = (
    "id", "user_id", "conversation_id", "number", "stored", "status", "model", "prompt_tokens", "completion_tokens",
    "total_tokens", "cached_tokens", "reasoning_tokens", "estimated", "started_at", "finished_at",
)  # fmt: skip


def _turn(row: MessageRow) -> tuple[Any, ...]:
    tokens = len(row.content) // 4
    began = row.created_at - timedelta(seconds=20)
    position = (row.id, row.user_id, row.conversation_id, row.number, True)
    return (*position, "completed", "bench", 2 * tokens, tokens, 3 * tokens, 0, 0, False, began, row.created_at)


def _batches(conversations: Iterable[list[MessageRow]]) -> Iterator[list[list[MessageRow]]]:
    batch: list[list[MessageRow]] = []
    for rows in conversations:
        batch.append(rows)
        if sum(map(len, batch)) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
