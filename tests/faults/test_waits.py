"""Rule for the source code: the end of an own wait is never found by catching TimeoutError.

``OSError(ETIMEDOUT)``, with which the kernel reports a lost host, is a TimeoutError, too. ``at_most`` tells them apart.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("services/*/src", "libs/common/src", "libs/events/src", "cli/src")
ALLOWED = {
    "libs/common/src/parley/process/timeouts.py",  # at_most itself
    "libs/events/src/parley_events/waiting.py",  # at_most itself
    "libs/common/src/parley/web/admin_port.py",  # the result of a future of another thread
}


def catches_timeouts_only(node: ast.AST) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return isinstance(node.type, ast.Name) and node.type.id == "TimeoutError"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "suppress":
        return [ast.unparse(argument) for argument in node.args] == ["TimeoutError"]
    return False


def places(source: str) -> Iterator[int]:
    if "TimeoutError" not in source:
        return iter(())
    return (node.lineno for node in ast.walk(ast.parse(source)) if catches_timeouts_only(node))  # type: ignore[attr-defined]


def test_the_rule_finds_what_it_forbids() -> None:
    assert list(places("try:\n    wait()\nexcept TimeoutError as error:\n    pass\n")) == [3]
    assert list(places("with contextlib.suppress(TimeoutError):\n    wait()\n")) == [1]
    assert not list(places("try:\n    read()\nexcept (OSError, TimeoutError):\n    pass\n"))


def test_no_error_of_a_socket_passes_for_the_end_of_a_wait() -> None:
    modules = [path for pattern in SOURCES for folder in ROOT.glob(pattern) for path in folder.rglob("*.py")]
    assert len(modules) > 200, "the sources are elsewhere"
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in modules
        if str(path.relative_to(ROOT)) not in ALLOWED
        for line in places(path.read_text())
    ]
    assert not found, f"use parley.process.timeouts.at_most: {found}"
