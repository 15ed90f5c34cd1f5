"""Folder in memory for the data of test servers."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the servers' folder in it is private
NEEDED = 6 << 30
"""Free bytes at which a session's servers are kept in memory. They write up to two gigabytes."""
PROCESS_IDS = Path("/proc/self/ns/pid")
"""The namespace of process ids: test runs in two containers may share a folder."""
MEMORY_INFO = Path("/proc/meminfo")
CONTROL_GROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def make_data_folder(parent: Path | None = None) -> Path:
    """Make and return a private folder for the data of test servers, in memory where there is room.

    ``parent``: another place for it. Folders that killed test runs left there are removed.
    """
    parent = parent or memory_folder() or Path(tempfile.gettempdir())
    prefix = f"parley-{PROCESS_IDS.stat().st_ino}-"
    for left in parent.glob(f"{prefix}*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))


def memory_folder(folder: Path = SHARED_MEMORY, needed: int = NEEDED) -> Path | None:
    """Return a folder in memory, or None if it has less room than needed or runs no programs.

    Test servers write hundreds of databases that nobody reads after their test. On a disk, half of the time to create
    one is the file system's.
    """
    try:
        found = os.statvfs(folder)
        room = min(found.f_bavail * found.f_frsize, *_memory_limits())
    except OSError:
        return None
    usable = os.access(folder, os.W_OK) and not found.f_flag & os.ST_NOEXEC
    return folder if usable and room >= needed else None


def _memory_limits() -> Iterator[int]:
    """Yield the machine's available memory and the limits of this process's control group."""
    lines = (line.split() for line in MEMORY_INFO.read_text().splitlines())
    yield next(int(words[1]) << 10 for words in lines if words[0] == "MemAvailable:")
    for limit in CONTROL_GROUP_LIMITS:
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            yield int(text)
