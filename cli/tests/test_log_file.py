"""Log file of `make run`."""

from pathlib import Path

from parley_cli.stack.log_file import RotatingLogFile


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
