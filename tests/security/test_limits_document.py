"""The rows of docs/limits.md compared with the code that they name."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 5
LOCATION = re.compile(r"`([\w./-]+\.(?:py|lua|sql))` `([\w.]+)`\Z")
NUMBER = re.compile(r"[\d,]*\d(?:\.\d+)?")


class Row(NamedTuple):
    """One bound: what is bounded, by how much, and where."""

    what: str
    bound: str
    location: str


def rows() -> list[Row]:
    lines = (ROOT / "docs/limits.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    assert [row for row in cells if len(row) != COLUMNS] == []
    return [Row(row[0], row[1], row[3]) for row in cells if row[0] != "what"]


ROWS = rows()


def located(row: Row) -> tuple[Path, str]:
    found = LOCATION.match(row.location)
    assert found, f"{row.what}: write the place as `path/from/the/root.py` `NAME`, not {row.location}"
    return ROOT / found[1], found[2]


@functools.cache
def numbers(path: Path) -> dict[str, float]:
    """Return the numeric constants of a module and the numeric defaults of its settings, by name in lower case."""
    return {name.lower(): value for name, value in _assigned(path)}


def _assigned(path: Path) -> Iterator[tuple[str, float]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            yield from _pairs(target, node.value)  # type: ignore[attr-defined]


def _pairs(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, float]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for inner, given in zip(target.elts, value.elts, strict=True):
            yield from _pairs(inner, given)
        return
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "Field" and value.args:
        value = value.args[0]
    if isinstance(target, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, int | float):
        yield target.id, value.value


def test_the_document_lists_bounds_of_every_service() -> None:
    for service in ("gateway", "auth", "chat", "history"):
        assert [row for row in ROWS if row.location.startswith(f"`services/{service}/")], service


@pytest.mark.parametrize("row", ROWS, ids=[row.what for row in ROWS])
def test_a_row_names_code_with_its_value(row: Row) -> None:
    path, name = located(row)
    assert path.is_file(), f"{row.what}: {path.relative_to(ROOT)} does not exist"
    text = path.read_text(encoding="utf-8")
    assert re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE), f"{row.what}: {name} is not in {path.name}"
    if path.suffix != ".py":
        return
    given = numbers(path).get(name.lower())
    shown = NUMBER.match(row.bound)
    if given is not None and shown:
        assert float(shown[0].replace(",", "")) == given, f"{row.what}: the code says {given}"
