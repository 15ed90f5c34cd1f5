"""Folder in memory for the data of test servers."""

import os
from collections.abc import Iterator
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the servers' folder in it is private
NEEDED = 6 << 30
"""Free bytes at which a session's servers are kept in memory. They write up to two gigabytes."""
MEMORY_INFO = Path("/proc/meminfo")
CONTROL_GROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


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
