"""The statements of docs/locks.md compared with those in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/locks.md").read_text(encoding="utf-8")
SOURCES = ["libs/common/src", "services/auth/src", "services/chat/src", "services/history/src", "services/webhooks/src"]
LOCKS_ROWS = re.compile(r"\bUPDATE\s+\w+|\bDELETE\s+FROM\b|\bFOR\s+(NO KEY UPDATE|UPDATE|SHARE)\b")
NAMES = re.compile(r"`(_?[A-Z][A-Z_]+)`")
PATHS = re.compile(r"`([\w./]+\.py)`")


def listed() -> set[tuple[str, str]]:
    """Return the file and name of every statement in the document."""
    rows = [line for line in DOCUMENT.splitlines() if line.startswith("| `")]
    first_cells = [row.split(" | ", maxsplit=1)[0] for row in rows]
    return {(path, name) for cell in first_cells for path in PATHS.findall(cell) for name in NAMES.findall(cell)}


def statements(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the names and texts of the module's constants that are SQL."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            parts = [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
            yield node.targets[0].id, "\n".join(part for part in parts if isinstance(part, str))


def locking() -> set[tuple[str, str]]:
    """Return the file and name of every statement in the code that locks rows."""
    return {
        (str(path.relative_to(ROOT)), name)
        for source in SOURCES
        for path in (ROOT / source).rglob("*.py")
        for name, text in statements(path)
        if LOCKS_ROWS.search(text)
    }


def named(statement: tuple[str, str], places: set[tuple[str, str]]) -> bool:
    path, name = statement
    return any(path.endswith(f"/{end}") and name == other for end, other in places)


def test_every_statement_that_locks_rows_is_listed_with_its_order() -> None:
    places = listed()
    assert sorted(statement for statement in locking() if not named(statement, places)) == []


def test_every_listed_statement_exists() -> None:
    found = locking()
    gone = [place for place in listed() if not any(named(statement, {place}) for statement in found)]
    assert sorted(gone) == []
