"""Measure the statements in the table of docs/query-plans.md: their indexes, and the rows that both plans read.

``make query-plans`` writes the table anew. A row names a statement by its constant, and says whether it is a list that
is read ``from the start``. The program starts a Postgres server, and fills a database for each service.
"""

import asyncio
import re
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from parley.storage.postgres import Connection
from parley_testing.backends.filled_database import filled_database
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.telemetry.filled_tables import SAMPLES, first_page
from parley_testing.telemetry.query_plans import PLAN_MODES, QueryPlan, argument_types, explain
from parley_testing.telemetry.statements import statements

PAGE = Path(__file__).resolve().parent.parent / "docs/query-plans.md"
ROWS = 20_000
"""Rows of each table."""
_ROW = re.compile(r"\| (?P<what>[^|]+) \| `(?P<name>[\w.]+)`(?P<start>, from the start)? \|.*\|")


class Statement(NamedTuple):
    """A statement of the table, and whether it is a list that is read from the start."""

    name: str
    from_start: bool


class Measured(NamedTuple):
    """Indexes of the generic plan, and rows that the custom and the generic plan read."""

    indexes: str
    custom: int
    generic: int


async def measure(wanted: Iterable[Statement]) -> dict[Statement, Measured]:
    """Return the measurement of each statement; raises KeyError for a name that no statement has."""
    found: dict[Statement, Measured] = {}
    async with SharedBackends() as backends:
        for service, of_service in groupby(sorted(wanted), key=lambda each: each.name.partition(".")[0]):
            texts = dict(statements(service))
            async with filled_database(backends, service, ROWS) as connection:
                for each in of_service:
                    found[each] = await _measure(connection, texts[each.name], from_start=each.from_start)
    return found


async def _measure(connection: Connection, text: str, *, from_start: bool) -> Measured:
    types = await argument_types(connection, text)
    arguments = first_page(types) if from_start else [SAMPLES[each] for each in types]
    custom, generic = [await explain(connection, text, arguments, mode) for mode in PLAN_MODES]
    return Measured(_indexes(generic), custom.work, generic.work)


def _indexes(plan: QueryPlan) -> str:
    names = dict.fromkeys(node["Index Name"] for node in plan.nodes if "Index Name" in node)
    recursive = "recursive: " if any(node["Node Type"] == "Recursive Union" for node in plan.nodes) else ""
    return recursive + ", ".join(f"`{name}`" for name in names)


def main() -> int:
    """Rewrite the table."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    rows = {place: match for place, line in enumerate(lines) if (match := _ROW.fullmatch(line))}
    measured = asyncio.run(measure({_statement(match) for match in rows.values()}))
    for place, match in rows.items():
        found = measured[_statement(match)]
        start = match["start"] or ""
        figures = f"{found.indexes} | {found.custom:,} | {found.generic:,}"
        lines[place] = f"| {match['what']} | `{match['name']}`{start} | {figures} |"
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _statement(row: re.Match[str]) -> Statement:
    return Statement(row["name"], from_start=row["start"] is not None)


if __name__ == "__main__":
    sys.exit(main())
