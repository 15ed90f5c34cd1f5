"""Folder lock, and the connection settings that it guards."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley_cli.stack import connections, folder_lock

HOLD = """
import pathlib, sys
from parley_cli.stack import folder_lock
with folder_lock.hold(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.communicate("")


def test_a_held_lock_is_refused_with_the_process_that_holds_it(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    with pytest.raises(folder_lock.FolderInUseError, match=str(holder.pid)), folder_lock.hold(tmp_path):
        pass


def test_the_lock_of_a_killed_process_is_released(tmp_path: Path, holder: "subprocess.Popen[str]") -> None:
    assert folder_lock.is_held(tmp_path)
    holder.kill()
    holder.wait()
    assert not folder_lock.is_held(tmp_path)
    with folder_lock.hold(tmp_path):
        assert folder_lock.holder(tmp_path) == str(os.getpid())


def test_settings_of_a_running_stack_are_used_unless_they_are_set(tmp_path: Path) -> None:
    environment = {"AUTH_URL": "http://auth"}
    connections.save(tmp_path, {"AUTH_URL": "http://stack", "HISTORY_URL": "http://history"})
    with folder_lock.hold(tmp_path):
        connections.use(tmp_path, environment)
    assert environment == {"AUTH_URL": "http://auth", "HISTORY_URL": "http://history"}


def test_settings_of_a_stopped_stack_are_ignored(tmp_path: Path) -> None:
    environment: dict[str, str] = {}
    connections.save(tmp_path, {"AUTH_URL": "http://stack"})
    connections.use(tmp_path, environment)
    assert environment == {}


def test_only_the_owner_can_read_the_connection_settings(tmp_path: Path) -> None:
    connections.save(tmp_path, {})
    assert (tmp_path / connections.FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_commands_that_ask_for_the_lock_do_not_take_it_for_held_by_each_other(tmp_path: Path) -> None:
    with folder_lock.hold(tmp_path):
        pass
    with (tmp_path / folder_lock.FILE_NAME).open("r+") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert not folder_lock.is_held(tmp_path)
        releasing = threading.Timer(folder_lock.ATTEMPT_INTERVAL, lambda: fcntl.flock(asking, fcntl.LOCK_UN))
        releasing.start()
        with folder_lock.hold(tmp_path):
            assert folder_lock.is_held(tmp_path)
        releasing.join()
