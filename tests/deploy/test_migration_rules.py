"""Rules for migrations: unique numbers, and no index that blocks writes to a table with rows."""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "check_migrations.py"))
findings: Callable[[Mapping[str, str]], list[str]] = SCRIPT["findings"]


def test_the_migrations_of_the_services_keep_the_rules() -> None:
    assert SCRIPT["main"]() == 0


@pytest.mark.parametrize(
    "files",
    [
        {"0001_a.sql": "CREATE TABLE t (n int)", "0002_b.sql": "CREATE INDEX t_n ON t (n)"},
        {"0001_a.sql": "CREATE UNIQUE INDEX t_n\n ON ONLY t (n)"},
        {"0001_a.sql": "CREATE TABLE a (n int)", "0001_b.sql": "CREATE TABLE b (n int)"},
        {"0001_a.sql": "REINDEX TABLE t"},
    ],
)
def test_a_migration_that_blocks_writes_or_repeats_a_number_is_found(files: dict[str, str]) -> None:
    assert len(findings(files)) == 1


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t (n int); CREATE INDEX t_n ON t (n)",
        "-- outside a transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS t_n ON t (n);",
        "-- CREATE INDEX t_n ON t (n)",
        "ALTER TABLE t ADD COLUMN m int",
    ],
)
def test_other_migrations_are_allowed(sql: str) -> None:
    assert findings({"0001_a.sql": sql}) == []
