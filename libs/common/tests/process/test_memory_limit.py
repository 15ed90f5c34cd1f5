"""Memory limits, read from the files of a made-up kernel."""

from pathlib import Path

import pytest

from parley.process.memory_limit import MemoryReader

STAT = "anon 1\ninactive_file 100\nactive_file 7\n"


@pytest.fixture
def process(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "statm").write_text("300 20 5 1 0 10 0\n")
    return folder


def group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_the_limit_of_a_container_is_compared_with_its_memory_without_the_file_cache(
    process: Path, tmp_path: Path
) -> None:
    (process / "cgroup").write_text("0::/\n")
    group(tmp_path / "cg", {"memory.max": "1000\n", "memory.current": "900\n", "memory.stat": STAT})
    use = MemoryReader(process, tmp_path / "cg").read()
    assert use == (800, 1000)
    assert use.share == 0.8


def test_the_nearest_limit_of_a_parent_counts(process: Path, tmp_path: Path) -> None:
    (process / "cgroup").write_text("0::/pods/one\n")
    for path, limit, used in (("pods/one", "max", 50), ("pods", "1000", 990)):
        files = {"memory.max": limit, "memory.current": str(used), "memory.stat": "inactive_file 0\n"}
        group(tmp_path / "cg" / path, files)
    assert MemoryReader(process, tmp_path / "cg").read() == (990, 1000)


def test_the_limit_of_cgroup_version_1_is_read(process: Path, tmp_path: Path) -> None:
    (process / "cgroup").write_text("5:cpu:/x\n4:memory:/not/visible/here\n")
    files = {"memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "600", "memory.stat": "total_inactive_file 100"}
    group(tmp_path / "cg" / "memory", files)
    assert MemoryReader(process, tmp_path / "cg").read() == (500, 1000)


def test_without_a_limit_the_resident_memory_is_compared_with_that_of_the_machine(
    process: Path, tmp_path: Path
) -> None:
    use = MemoryReader(process, tmp_path / "cg").read()
    assert use is not None
    assert use.used == 20 * 4096
    assert use.limit > 1_000_000_000


def test_a_system_without_these_files_has_no_reading(tmp_path: Path) -> None:
    assert MemoryReader(tmp_path / "none", tmp_path / "none").read() is None


def test_this_process_has_a_reading() -> None:
    use = MemoryReader().read()
    assert use is not None
    assert 0 < use.used < use.limit
