"""The folder in memory for test servers: when it is used."""

from pathlib import Path

from parley_testing.backends.memory_folder import memory_folder


def test_a_folder_with_enough_room_is_used(tmp_path: Path) -> None:
    assert memory_folder(tmp_path, needed=1) == tmp_path


def test_a_folder_with_too_little_room_is_not_used(tmp_path: Path) -> None:
    assert memory_folder(tmp_path, needed=1 << 60) is None


def test_a_machine_without_such_a_folder_uses_none(tmp_path: Path) -> None:
    assert memory_folder(tmp_path / "missing", needed=1) is None
