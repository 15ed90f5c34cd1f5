"""Log file of a process."""

import asyncio
import json
from pathlib import Path

import pytest
import structlog

from parley.observability import logs
from parley.observability.log_file import RotatingLogFile
from parley.process.tasks import background


def test_a_full_log_is_rotated_and_one_predecessor_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "parley.log"
    with RotatingLogFile(path, limit=100) as log:
        for number in range(30):
            log.write(f"line {number:04}\n".encode())
    kept = (tmp_path / "parley.log.1").read_text() + path.read_text()
    assert kept.endswith("line 0029\n")
    assert len(kept) <= 200


def test_an_existing_log_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "parley.log"
    for number in range(2):
        with RotatingLogFile(path) as log:
            log.write(f"{number}\n".encode())
    assert path.read_text() == "0\n1\n"


def test_only_the_owner_can_read_the_log(tmp_path: Path) -> None:
    with RotatingLogFile(tmp_path / "parley.log"):
        assert (tmp_path / "parley.log").stat().st_mode & 0o777 == 0o600


def test_a_log_that_was_removed_is_made_again_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "parley.log"
    with RotatingLogFile(path, limit=100) as log:
        log.write(b"a" * 90)
        path.unlink()
        log.write(b"b" * 90)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"b" * 90, 0o600)


def test_processes_that_share_a_full_log_keep_its_predecessor(tmp_path: Path) -> None:
    path = tmp_path / "parley.log"
    with RotatingLogFile(path, limit=100) as first, RotatingLogFile(path, limit=100) as second:
        first.write(b"a" * 90)
        second.write(b"b" * 90)
        first.write(b"c" * 90)
        second.write(b"d" * 90)
    assert path.with_name("parley.log.1").read_bytes() == b"a" * 90 + b"b" * 90
    assert path.read_bytes() == b"c" * 90 + b"d" * 90


def test_a_service_logs_to_its_file(tmp_path: Path) -> None:
    logs.configure_process("info", "json", tmp_path / "chat.log")
    structlog.get_logger().info("started")
    logs.write_lines(b'{"event":"request"}\n')
    assert logs._output is not None
    logs._output.close()
    lines = (tmp_path / "chat.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["started", "request"]


def test_an_unusable_log_file_ends_the_start_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        logs.configure_process("info", "json", tmp_path)
    assert (ended.value.code, capsys.readouterr().err.startswith("LOG_FILE: cannot write")) == (2, True)


async def test_a_full_disk_fails_nothing_that_is_logged() -> None:
    with RotatingLogFile(Path("/dev/full")) as full:
        logs.configure("info", "json", full)
        ended = asyncio.Event()

        async def fail() -> None:
            ended.set()
            raise ValueError

        structlog.get_logger().warning("a warning")
        logs.write_lines(b'{"event":"request"}\n')
        async with background("failing", fail):
            for _ in range(2):
                ended.clear()
                await asyncio.wait_for(ended.wait(), 20)
