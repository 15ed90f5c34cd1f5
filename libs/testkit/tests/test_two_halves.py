"""A session with workers: everything is run once, what runs alone comes last, and one report tells of both halves."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parley_testing.stacks.commands import environment

SECONDS = 60
SETTINGS = """
[pytest]
addopts = -p parley_testing.plugin -p xdist -p pytest_asyncio
markers =
  alone
  e2e
one_worker =
  test_near.py
  test_together.py
"""
NOTES = """
import os, pathlib, pytest

def note(name):
    pathlib.Path(name).write_text(str(os.getpid()))
"""
TOGETHER = f"""{NOTES}
def test_one(): note("one")

def test_two(): note("two")
"""
NEAR = f"""{NOTES}
def test_near(): note("near")
"""
LAST = f"""{NOTES}
@pytest.mark.alone
def test_alone():
    assert {{"one", "two"}} <= set(os.listdir())
    note("alone")

@pytest.mark.e2e
def test_whole(): note("whole")
"""
SKIPPED = f"""{NOTES}
def test_among_many(): pytest.skip("no such server")

@pytest.mark.alone
def test_by_itself(): pytest.skip("no such broker")
"""
UNSTABLE = f"""{NOTES}
@pytest.mark.parametrize("number", [os.getpid()])
def test_unstable(number): pass
"""
BROKEN = "def test_broken(): assert not 'broken'"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run pytest with two workers on files, given by their names."""
    (tmp_path / "pytest.ini").write_text(SETTINGS)

    def ran(*options: str, ci: str = "", **files: str) -> "subprocess.CompletedProcess[str]":
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-n2", "--dist", "loadfile", *options],
            cwd=tmp_path,
            env=environment(CI=ci, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return ran


def test_everything_runs_once_and_what_runs_alone_comes_last_in_one_process(run: Run, tmp_path: Path) -> None:
    done = run(together=TOGETHER, last=LAST, near=NEAR)
    assert done.returncode == pytest.ExitCode.OK, done.stdout
    assert " 5 passed in " in done.stdout
    pids = {name: (tmp_path / name).read_text() for name in ("one", "near", "alone", "whole")}
    assert pids["one"] == pids["near"] != pids["alone"] == pids["whole"]


def test_a_failure_keeps_nothing_from_running_but_when_asked_to(run: Run, tmp_path: Path) -> None:
    done = run("-x", broken=BROKEN, last=LAST)
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert " 1 failed in " in done.stdout
    assert not (tmp_path / "alone").exists()
    done = run(together=TOGETHER, broken=BROKEN, last=LAST)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert " 1 failed, 4 passed in " in done.stdout


def test_what_was_skipped_in_either_half_is_told_and_fails_in_ci(run: Run) -> None:
    done = run(together=TOGETHER, skipped=SKIPPED, ci="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "test_skipped.py::test_among_many: no such server" in done.stdout
    assert "test_skipped.py::test_by_itself: no such broker" in done.stdout


@pytest.mark.parametrize("text", ["import nowhere", UNSTABLE], ids=["missing", "unstable"])
def test_without_the_same_tests_everywhere_no_second_half_is_run(run: Run, tmp_path: Path, text: str) -> None:
    done = run(together=TOGETHER, last=LAST, wrong=text)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "ERROR collecting" in done.stdout
    assert not (tmp_path / "whole").exists()


def test_a_choice_may_leave_one_half_empty(run: Run) -> None:
    done = run("-k", "test_whole", together=TOGETHER, last=LAST)
    assert done.returncode == pytest.ExitCode.OK
    assert " 1 passed" in done.stdout
