"""Tables of any schema filled with rows that fit together, so that the plans of statements show how they scale.

Row ``n`` has the id ``identifier(n)``. Its owner, its conversation and so on are ``identifier(n % GROUPS)``, and its
parent is ``identifier(n + GROUPS)``: a chain within the group. ``SAMPLES`` has arguments that meet row and group 7.
IDs grow with the rows, as those of the product do, so that an index of IDs has the order of the table.
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from parley.storage.postgres import Connection

GROUPS = 50
SAMPLE = 7
EVEN = f"n % {GROUPS}"
"""The group of row ``n``: all have as many rows."""
_TABLES = """
SELECT c.oid, c.relname AS name FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'schema_migrations' ORDER BY 2"""
_COLUMNS = """
SELECT a.attname AS name, format_type(a.atttypid, NULL) AS type, NOT a.attnotnull AS nullable,
    a.atthasdef AS has_default,
    EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique
        AND (i.indpred IS NULL OR i.indnkeyatts > 1)
        AND i.indkey[i.indnkeyatts - 1] = a.attnum) AS ends_a_key,
    EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique
        AND i.indpred IS NOT NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum) AS is_unique_in_part,
    (SELECT string_agg(pg_get_constraintdef(k.oid), ' ') FROM pg_constraint AS k
     WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND a.attnum = ANY (k.conkey)) AS checks
FROM pg_attribute AS a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND a.attgenerated = ''"""
_RUNS = "n % 10 = 3"
"""Whether the turn of row ``n`` runs. Each running turn has its own conversation: two may not run in one."""
_OPTIONAL = {"uuid", "text", "boolean", "timestamp with time zone"}
"""Types of positions in lists and of filters, which are NULL where there is none."""
_KNOWN_TIMES = {"finished_at", "sent_at", "last_message_at", "last_used_at"}
"""Times that most rows have although they are nullable."""
_VALUES = {"boolean": "n % 10 = 0", "jsonb": "'{}'::jsonb", "text[]": "ARRAY['t7']", "tsvector": "'t7'::tsvector"}


def skewed(rows: int) -> str:
    """Return the group of row ``n`` where groups 0 to 2 have nearly all rows, and the sample the first and last ten."""
    return f"CASE WHEN n < 10 OR n >= {rows - 10} THEN {SAMPLE} ELSE n % 3 END"


def identifier(number: int) -> UUID:
    """Return the UUID of a row or of a group of rows."""
    return UUID(int=number)


_TIME = datetime.now(UTC) - timedelta(minutes=1000)
SAMPLES: dict[str, Any] = {
    "uuid": identifier(SAMPLE),
    "uuid[]": [identifier(SAMPLE), identifier(SAMPLE + GROUPS)],
    "text": f"t{SAMPLE}",
    "text[]": [f"t{SAMPLE}"],
    "bytea": hashlib.md5(b"b7", usedforsecurity=False).digest(),
    "bytea[]": [hashlib.md5(b"b7", usedforsecurity=False).digest()],
    "timestamp with time zone": _TIME,
    "timestamp with time zone[]": [_TIME],
    "date": date(2026, 1, 1),
    "boolean": True,
    "jsonb": {},
    "double precision": 3600,
    "tsquery": "t7",
    **dict.fromkeys(("integer", "bigint", "smallint", "numeric"), 20),
    **{kind: [20] for kind in ("integer[]", "bigint[]", "numeric[]")},
}
"""An argument of each type."""


def first_page(types: Sequence[str], group: int = SAMPLE) -> list[Any]:
    """Return arguments of these types for the first page of all rows of a group: no position in a list, no filter."""
    owner = types.index("uuid")
    given = [None if each in _OPTIONAL else SAMPLES[each] for each in types]
    return [*given[:owner], identifier(group), *given[owner + 1 :]]


async def fill_tables(connection: Connection, rows: int, group: str = EVEN) -> None:
    """Insert rows into every table of the database, without triggers and foreign keys. Needs a superuser.

    Rows that exist are left as they are, and no table is analyzed. ``group`` is an SQL expression: the number of the
    group of row ``n``.
    """
    await connection.execute("SET session_replication_role = replica")
    for table in await connection.fetch(_TABLES):
        columns = await connection.fetch(_COLUMNS, table["oid"])
        values = {column["name"]: value for column in columns if (value := _value(column, group))}
        await connection.execute(
            f"INSERT INTO {table['name']} ({', '.join(values)}) SELECT {', '.join(values.values())}"  # noqa: S608 - names of the schema
            f" FROM generate_series(0, {rows - 1}) AS n ON CONFLICT DO NOTHING"
        )
    await connection.execute("SET session_replication_role = origin")


def _value(column: Any, group: str) -> str | None:
    """Return the expression of a column's value in row ``n``, or None for the default."""
    name, kind = column["name"], column["type"]
    number = "n" if column["ends_a_key"] or name in ("number", "position", "sequence") else f"({group})"
    if column["is_unique_in_part"]:
        number = f"CASE WHEN {_RUNS} THEN n ELSE {number} END"
    if kind == "text":
        return _text(number, re.findall(r"'([^']*)'::text", column["checks"] or ""))
    if kind == "timestamp with time zone":
        return _time(name, nullable=column["nullable"])
    if kind == "jsonb" and (column["nullable"] or column["has_default"]):
        return None
    if kind == "boolean" and column["checks"] and column["has_default"]:
        return None  # the key of a table of one row
    own_number = {"id": "n", "parent_id": f"n + {GROUPS}"}.get(name, number)
    values = {"uuid": f"lpad(to_hex({own_number}), 32, '0')::uuid", "bytea": f"decode(md5('b' || ({number})), 'hex')"}
    values |= dict.fromkeys(("integer", "bigint", "smallint", "numeric", "double precision"), number)
    return "true" if name == "stored" else {**_VALUES, **values}.get(kind)


def _text(number: str, allowed: Sequence[str]) -> str:
    words = [f"'{word}'" for word in allowed if word != "running"]
    word = f"(ARRAY[{', '.join(words)}])[n % {len(words)} + 1]" if words else f"'t' || ({number})"
    return f"CASE WHEN {_RUNS} THEN 'running' ELSE {word} END" if "running" in allowed else word


def _time(name: str, *, nullable: bool) -> str:
    if "expires" in name or name in ("until", "purge_after"):
        return "now() + (n - 2000) * interval '1 minute'"
    past = "now() - n * interval '1 minute'"
    if not nullable:
        return past
    return f"CASE WHEN n % 10 {'<>' if name in _KNOWN_TIMES else '='} 0 THEN {past} END"
