"""Plans of SQL statements, as Postgres executes them: custom or generic, with the rows that each step reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import orjson

from parley.storage.postgres import Connection

PlanMode = Literal["force_custom_plan", "force_generic_plan"]
PLAN_MODES: tuple[PlanMode, ...] = ("force_custom_plan", "force_generic_plan")
"""Settings of ``plan_cache_mode``. By default, Postgres may switch to the second one at the sixth execution."""

_TYPES = "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = 'typed'"


@dataclass(frozen=True, slots=True)
class QueryPlan:
    """The plan of a statement as the JSON format of EXPLAIN has it."""

    root: dict[str, Any]

    @property
    def nodes(self) -> Iterator[dict[str, Any]]:
        """Every node of the plan."""
        waiting = [self.root]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += node.get("Plans", [])

    @property
    def work(self) -> int:
        """Rows and index entries that were read, and lookups that found nothing, all over all loops."""
        return round(sum(_work(node) for node in self.nodes if "Relation Name" in node or "Index Name" in node))

    @property
    def summary(self) -> str:
        """One line for each node, for messages of failed assertions and for the documentation."""
        return "\n".join(_lines(self.root, 0))


async def explain(
    connection: Connection, query: str, arguments: Sequence[Any], mode: PlanMode, *, analyze: bool = True
) -> QueryPlan:
    """Return the plan of a statement; with ``analyze``, it is executed and then rolled back."""
    await connection.execute(f"PREPARE explained AS {query}")
    try:
        return await explain_prepared(connection, "explained", arguments, mode, analyze=analyze)
    finally:
        await connection.execute("DEALLOCATE explained")


async def explain_prepared(
    connection: Connection, name: str, arguments: Sequence[Any], mode: PlanMode, *, analyze: bool = True
) -> QueryPlan:
    """As ``explain``, for a statement that was prepared under a name. A generic plan is made once and then kept."""
    options = "ANALYZE, TIMING OFF, SUMMARY OFF, FORMAT JSON" if analyze else "FORMAT JSON"
    values = f"({', '.join(map(_literal, arguments))})" if arguments else ""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        text = await connection.fetchval(f"EXPLAIN ({options}) EXECUTE {name}{values}")
    finally:
        await transaction.rollback()
    return QueryPlan((orjson.loads(text) if isinstance(text, str) else text)[0]["Plan"])


async def argument_types(connection: Connection, query: str) -> list[str]:
    """Return the types of the parameters of a statement."""
    await connection.execute(f"PREPARE typed AS {query}")
    found: list[str] = await connection.fetchval(_TYPES)
    await connection.execute("DEALLOCATE typed")
    return found


def _work(node: dict[str, Any]) -> float:
    removed = sum(node.get(f"Rows Removed by {what}", 0) for what in ("Filter", "Index Recheck", "Join Filter"))
    return float(max(1, node["Actual Rows"] + removed) * node["Actual Loops"])


def _lines(node: dict[str, Any], depth: int) -> Iterator[str]:
    subject = node.get("Index Name") or node.get("Relation Name") or node.get("CTE Name")
    counts = f" rows={node['Actual Rows']:g} loops={node['Actual Loops']:g}" if "Actual Loops" in node else ""
    yield f"{'  ' * depth}{node['Node Type']}{f' {subject}' if subject else ''}{counts}"
    for child in node.get("Plans", []):
        yield from _lines(child, depth + 1)


def _literal(value: Any) -> str:
    """Return a value as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float | Decimal):
        return str(value)
    if isinstance(value, bytes):
        return f"'\\x{value.hex()}'"
    if isinstance(value, dict):
        return _quoted(orjson.dumps(value).decode())
    if isinstance(value, str | UUID | date):
        return _quoted(str(value))
    return _quoted("{" + ",".join("NULL" if one is None else _element(str(one)) for one in value) + "}")


def _element(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
