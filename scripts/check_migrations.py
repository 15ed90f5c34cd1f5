"""Fail if two migrations have the same number, one blocks writes while it builds an index, or one breaks older code.

CREATE INDEX locks its table against writes until it is done. On a table that an earlier migration has made, and that
may be large, an index is built CONCURRENTLY: see libs/common/src/parley/storage/index_migrations.py.

During an update, and after a rollback, the code of the previous release runs on the new schema. So a migration only
adds. What nothing uses since an earlier release is removed under a line of its own: ``-- unused since 1.4.0``.
"""

import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("services/*/src/*/migrations", "libs/*/src/**/migrations")
APPLIED_BEFORE_THE_RULE = frozenset({"history/0004_message_families.sql"})
"""Files that databases have applied, which must not change."""
_TABLE = re.compile(r"\bCREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(\w+)", re.IGNORECASE)
_INDEX = re.compile(
    r"\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\b).*?\bON\s+(?:ONLY\s+)?(\w+)", re.IGNORECASE | re.DOTALL
)
_REBUILDS = re.compile(r"\b(?:REINDEX|CLUSTER|VACUUM\s+FULL)\b", re.IGNORECASE)
_BREAKING = {
    r"\bDROP\s+(?:TABLE|COLUMN|VIEW|SEQUENCE|TYPE|FUNCTION|ROUTINE|SCHEMA)\b": "drops what older code may use",
    r"\bRENAME\b": "renames what older code may use",
    r"\bALTER\s+(?:COLUMN\s+)?\w+\s+(?:SET\s+DATA\s+)?TYPE\b": "changes the type of a column",
    r"\bSET\s+NOT\s+NULL\b": "refuses rows that older code inserts",
    r"\bDROP\s+DEFAULT\b": "refuses rows that older code inserts",
    r"\bADD\s+(?:COLUMN\s+)?(?!CONSTRAINT\b)\w+\s(?:(?!DEFAULT|GENERATED)[^,;])*\bNOT\s+NULL\b"
    r"(?![^,;]*\bDEFAULT\b)": ("adds a column that older code does not fill"),
}
"""Statements after which the previous release no longer works, on tables that it knows."""
_UNUSED = re.compile(r"^-- unused since \d+\.\d+\.\d+$", re.MULTILINE)
_BODY = re.compile(r"\$(\w*)\$.*?\$\1\$", re.DOTALL)


def breaks_older_code(text: str) -> list[str]:
    """Return why the previous release would not work after a migration."""
    if _UNUSED.search(text):
        return []
    sql = _BODY.sub("", re.sub(r"--[^\n]*", "", text))
    return [why for pattern, why in _BREAKING.items() if re.search(pattern, sql, re.IGNORECASE)]


def findings(files: Mapping[str, str]) -> list[str]:
    """Return what is wrong with the migrations of a package, by name."""
    numbers = Counter(name.split("_")[0] for name in files)
    found = [f"two migrations have the number {number}" for number, count in sorted(numbers.items()) if count > 1]
    for name, text in sorted(files.items()):
        sql = re.sub(r"--[^\n]*", "", text)
        new = set(_TABLE.findall(sql))
        blocked = [table for table in _INDEX.findall(sql) if table not in new]
        found += [f"{name}: builds an index of {table} that blocks writes. Build it CONCURRENTLY." for table in blocked]
        if _REBUILDS.search(sql):
            found.append(f"{name}: REINDEX, CLUSTER and VACUUM FULL block a whole table.")
        found += [f"{name}: {why}." for why in breaks_older_code(text)]
    return found


def main() -> int:
    """Print one line for each finding; return the exit code."""
    wrong = []
    for folder in sorted(path for pattern in FOLDERS for path in ROOT.glob(pattern)):
        files = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.sql")}
        applied = {name for name in files if f"{folder.parent.name}/{name}" in APPLIED_BEFORE_THE_RULE}
        wrong += [
            f"{folder.relative_to(ROOT)}: {finding}"
            for finding in findings(files)
            if finding.split(":")[0] not in applied
        ]
    print(*wrong, sep="\n", end="\n" if wrong else "", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
