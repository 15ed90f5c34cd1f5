"""Groups of tests that run in one worker."""

import contextlib
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest

from parley_testing.scheduling import GroupEnds, Groups

GROUPS = Groups(["stack tests/first.py", "other tests/second.py", "files tests/third.py"])


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        ("tests/first.py::test_it", "stack"),
        ("tests/third.py::test_it[1-stack]", "stack"),
        ("tests/fourth.py::test_it[stacked]", "tests/fourth.py"),
    ],
)
def test_the_group_of_a_test_is_that_of_its_parameter_or_its_path_or_its_file(nodeid: str, group: str) -> None:
    assert GROUPS.of(nodeid) == group


@pytest.mark.parametrize(
    ("nodeid", "fixtures", "missing"),
    [
        ("tests/first.py::test_it", ["stack", "tmp_path"], None),
        ("tests/fourth.py::test_it", ["tmp_path"], None),
        ("tests/fourth.py::test_it", ["tmp_path", "stack"], "stack"),
        ("tests/third.py::test_it", ["stack"], "stack"),
        ("tests/second.py::test_it", ["stack", "other"], None),
    ],
)
def test_a_test_that_uses_the_fixture_of_a_group_must_be_in_it(
    nodeid: str, fixtures: list[str], missing: str | None
) -> None:
    assert GROUPS.missing(nodeid, fixtures) == missing


def run(hook: Generator[None, object, object]) -> None:
    next(hook)
    with contextlib.suppress(StopIteration):
        hook.send(None)


def test_the_servers_of_a_group_end_once_before_a_test_of_another_group() -> None:
    ended: list[object] = []
    first, second, other = (SimpleNamespace(nodeid=f"tests/{name}") for name in ("first.py::a", "first.py::b", "x.py"))
    fixture: Any = SimpleNamespace(argname="stack", scope="session", finish=ended.append)
    ends: Any = GroupEnds(GROUPS)
    run(ends.pytest_fixture_setup(fixture, "request"))
    run(ends.pytest_runtest_teardown(first, second))
    assert ended == []
    run(ends.pytest_runtest_teardown(second, other))
    run(ends.pytest_runtest_teardown(second, other))
    assert ended == ["request"]
