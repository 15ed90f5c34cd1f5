"""The pytest plugin in sessions of its own: workers, skipped tests, and the time of each tier."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from parley_testing.stacks.commands import environment

SECONDS = 60
SETTINGS = """
[pytest]
addopts = -p parley_testing.plugin -p xdist -p pytest_asyncio.plugin
asyncio_mode = auto
asyncio_default_fixture_loop_scope = session
asyncio_default_test_loop_scope = session
markers =
  integration
  e2e
one_worker =
  servers test_first.py
  servers test_second.py
"""
NOTES_ITS_PROCESS = """
import os, pathlib, pytest
from parley_embedded import sockets

@pytest.mark.integration
async def test_it(backends):
    note = f"{os.getpid()} {await backends.database_url()} {sockets.PORTS.start}"
    pathlib.Path(__file__).with_suffix(".txt").write_text(note)
"""
SKIPPED = """
import pytest

def test_it(): pytest.skip("no such server")
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run pytest on files given by name and text."""
    (tmp_path / "pytest.ini").write_text(SETTINGS)

    def ran(*options: str, ci: str = "", **files: str) -> "subprocess.CompletedProcess[str]":
        for name, text in files.items():
            (tmp_path / f"test_{name}.py").write_text(text)
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=tmp_path,
            env=environment(CI=ci, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    return ran


@pytest.mark.integration
def test_workers_share_one_postgres_but_no_ports_and_a_test_that_one_skips_fails_in_ci(
    run: Run, tmp_path: Path
) -> None:
    names = ("first", "second", "third", "fourth")
    done = run("-n2", "--dist", "loadfile", **dict.fromkeys(names, NOTES_ITS_PROCESS), skipped=SKIPPED, ci="true")
    assert "4 passed, 1 skipped" in done.stdout
    assert "integration tests: 4 in " in done.stdout
    notes = {name: (tmp_path / f"test_{name}.txt").read_text().split() for name in names}
    assert len({url for _, url, _ in notes.values()}) == 1
    processes = {process for process, _, _ in notes.values()}
    assert len({ports for _, _, ports in notes.values()}) == len(processes) == 2
    assert notes["first"][0] == notes["second"][0], "files of one_worker ran in two workers"
    assert "test_skipped.py::test_it: no such server" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_a_skipped_test_is_listed_with_its_reason_and_passes_outside_ci(run: Run) -> None:
    done = run(skipped=SKIPPED)
    assert "test_skipped.py::test_it: no such server" in done.stdout
    assert done.returncode == pytest.ExitCode.OK
