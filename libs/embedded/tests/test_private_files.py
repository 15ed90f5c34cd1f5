"""Private files: atomic replacement, damaged content, and one line for each error of the operating system."""

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from parley_embedded.errors import EmbeddedError, explain, remedy_for
from parley_embedded.private_files import read_private, write_private
from parley_embedded.secret_files import read_or_create_secret, read_secret

GARBAGE = bytes(range(128, 256))
OUT_OF_SPACE = """
import pathlib, resource, sys
from parley_embedded.private_files import write_private
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
write_private(pathlib.Path(sys.argv[1]), "a new secret")
"""


def test_a_file_is_written_to_disk_before_it_gets_its_name_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")

    def replace(source: Path, target: Path) -> None:
        steps.append("rename")
        source.rename(target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    write_private(tmp_path / "secret", "text")
    assert steps == ["file", "rename", "folder"]
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_write_that_fails_keeps_the_old_content_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "old")
    done = subprocess.run([sys.executable, "-c", OUT_OF_SPACE, str(path)], capture_output=True, text=True, check=False)
    assert f"EmbeddedError: Cannot use {path}: File too large." in done.stderr
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["secret"]


def test_a_read_only_file_and_what_a_crash_left_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "old")
    path.chmod(0o400)
    path.with_name("secret.new").write_text("half")
    write_private(path, "new")
    assert read_private(path) == "new"


def test_a_link_with_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    (tmp_path / "secret.new").symlink_to(precious)
    write_private(tmp_path / "secret", "text")
    assert precious.read_text() == "kept"


@pytest.mark.parametrize("content", [b"", b" \n", GARBAGE, b"two words", b'a"b', b"a\0b", b"a" * 256])
def test_a_damaged_secret_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_secret(path) is None
    assert read_or_create_secret(path) == read_secret(path)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_another_kind_of_file_is_reported_and_does_not_block(tmp_path: Path, make: object) -> None:
    path = tmp_path / "secret"
    make(path)  # type: ignore[operator]
    with pytest.raises(EmbeddedError, match=r"secret is not a regular file\. Move it away"):
        read_or_create_secret(path)


def test_a_huge_file_is_not_read_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with path.open("wb") as file:
        file.truncate(resource.RLIM_INFINITY if resource.RLIM_INFINITY > 0 else 1 << 40)
    assert read_secret(path) is None


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "No space left on device. Free some space"),
        (errno.EDQUOT, "Disk quota exceeded. Free some space"),
        (errno.EROFS, "Read-only file system. Make the file system writable"),
        (errno.EACCES, "Permission denied. Change its owner or mode"),
        (errno.EPERM, "Operation not permitted. Change its owner or mode"),
        (errno.EIO, "Input/output error. Check the disk"),
        (errno.EMFILE, "Too many open files. Raise the limit"),
    ],
)
def test_an_error_of_the_operating_system_becomes_one_line_with_a_remedy(number: int, remedy: str) -> None:
    assert f"Cannot use /data/file: {remedy}" in explain(OSError(number, os.strerror(number), "/data/file"))
    assert f"Cannot use /data/file: {remedy}" in explain(OSError(number, os.strerror(number)), Path("/data/file"))


def test_an_error_without_a_number_is_never_an_empty_line() -> None:
    assert explain(TimeoutError()) == "TimeoutError"
    assert explain(OSError("chat cannot listen on port 1")) == "chat cannot listen on port 1"


def test_a_full_disk_in_the_output_of_a_program_replaces_its_usual_hint() -> None:
    assert "Free some space" in remedy_for("FATAL: could not write: No space left on device", "Restore it.")
    assert remedy_for("FATAL: syntax error", "Restore it.") == "Restore it."
