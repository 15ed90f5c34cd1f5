"""The folder in memory for test servers: when it is used."""

import subprocess
import sys
from pathlib import Path

from parley_testing.backends.memory_folder import make_data_folder, memory_folder


def test_a_folder_with_enough_room_is_used(tmp_path: Path) -> None:
    assert memory_folder(tmp_path, needed=1) == tmp_path


def test_a_folder_with_too_little_room_is_not_used(tmp_path: Path) -> None:
    assert memory_folder(tmp_path, needed=1 << 60) is None


def test_a_machine_without_such_a_folder_uses_none(tmp_path: Path) -> None:
    assert memory_folder(tmp_path / "missing", needed=1) is None


def test_the_folders_of_killed_test_runs_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    mine = make_data_folder(tmp_path)
    name, namespace, _, unique = mine.name.split("-")
    left = tmp_path / f"{name}-{namespace}-{ended.pid}-{unique}"
    (left / "postgres").mkdir(parents=True)
    other = make_data_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])
