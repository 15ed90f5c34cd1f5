"""Migrations that build or drop indexes without blocking writes, outside a transaction.

The first line of such a file is ``-- outside a transaction``. It has only statements of these two forms, each ended by
a semicolon, and comments on lines of their own:

    CREATE [UNIQUE] INDEX CONCURRENTLY IF NOT EXISTS name ON ...;
    DROP INDEX CONCURRENTLY IF EXISTS name;

Whatever interrupts such a file, it is applied again from its beginning. An index that an interruption left invalid is
found, dropped and built again. Where an index would take longer than a process may take to start, an operator runs the
statement before the update: an index that exists and is valid is left as it is.
"""

import asyncio
import re
from dataclasses import dataclass

import asyncpg
import structlog

log = structlog.get_logger()

HEADER = "-- outside a transaction"
BUILD_TIMEOUT = 86_400.0
"""Seconds that a build may take."""
BUILD_POLL_INTERVAL = 1.0
"""Seconds between two looks at a build that another connection has begun."""
_FORM = re.compile(
    r"(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s+(?P<created>[a-z_][a-z0-9_]*)\s+ON\s.+"
    r"|DROP\s+INDEX\s+CONCURRENTLY\s+IF\s+EXISTS\s+(?P<dropped>[a-z_][a-z0-9_]*))",
    re.IGNORECASE | re.DOTALL,
)
_IS_INVALID = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)"
_IS_BEING_BUILT = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = to_regclass($1))"


class InvalidIndexError(Exception):
    """An index is invalid after it was built."""


@dataclass(frozen=True, slots=True)
class IndexStatement:
    """A statement, the name of its index, and whether the index exists afterwards."""

    sql: str
    index: str
    creates: bool


def read_index_statements(sql: str) -> list[IndexStatement]:
    """Return the statements of a file with the header, none of another file; raises ValueError for other statements."""
    first, _, rest = sql.partition("\n")
    if first.strip() != HEADER:
        if re.search(r"\bCONCURRENTLY\b", _without_comments(sql), re.IGNORECASE):
            raise ValueError(f"CONCURRENTLY needs the first line {HEADER!r}")
        return []
    found = [text for part in _without_comments(rest).split(";") if (text := part.strip())]
    if not found:
        raise ValueError("the file has no statement")
    return [_statement(text) for text in found]


async def apply_index_statement(connection: "asyncpg.Connection[asyncpg.Record]", statement: IndexStatement) -> None:
    """Run a statement, however long it takes, after the remains of an interrupted build were dropped."""
    if statement.creates and await connection.fetchval(_IS_INVALID, statement.index):
        while await connection.fetchval(_IS_BEING_BUILT, statement.index):
            await asyncio.sleep(BUILD_POLL_INTERVAL)
        if await connection.fetchval(_IS_INVALID, statement.index):
            log.warning("invalid_index_dropped", index=statement.index)
            await _run(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {statement.index}")
    await _run(connection, statement.sql)
    if statement.creates and await connection.fetchval(_IS_INVALID, statement.index):
        raise InvalidIndexError(f"The index {statement.index} is invalid.")


async def _run(connection: "asyncpg.Connection[asyncpg.Record]", sql: str) -> None:
    await connection.execute(sql, timeout=BUILD_TIMEOUT)


def _statement(text: str) -> IndexStatement:
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(f"not a statement of an index outside a transaction: {text[:80]!r}")
    return IndexStatement(text, form["created"] or form["dropped"], form["created"] is not None)


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.lstrip().startswith("--"))
