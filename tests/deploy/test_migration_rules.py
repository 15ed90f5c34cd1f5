"""Rules for migrations: unique numbers, no index that blocks writes, and nothing that breaks older code."""

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
        "ALTER TABLE t ADD COLUMN m int NOT NULL DEFAULT 0, ADD COLUMN n jsonb DEFAULT '[]' NOT NULL",
        "ALTER TABLE t DROP CONSTRAINT c; ALTER TABLE t ADD CONSTRAINT c CHECK (m IS NOT NULL)",
        "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE IF EXISTS scratch; END $$",
        "-- unused since 1.4.0\nALTER TABLE t DROP COLUMN m",
    ],
)
def test_other_migrations_are_allowed(sql: str) -> None:
    assert findings({"0001_a.sql": sql}) == []


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE t",
        "ALTER TABLE t DROP COLUMN m",
        "ALTER TABLE t RENAME COLUMN m TO n",
        "ALTER TABLE t ALTER COLUMN m TYPE bigint",
        "ALTER TABLE t ALTER m SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN m DROP DEFAULT",
        "ALTER TABLE t ADD COLUMN m int NOT NULL",
        "ALTER TABLE t ADD COLUMN k int NOT NULL DEFAULT 0, ADD COLUMN m int NOT NULL",
        "DROP FUNCTION f()",
    ],
)
def test_a_migration_after_which_the_previous_release_does_not_work_is_found(sql: str) -> None:
    assert len(findings({"0001_a.sql": sql})) == 1
