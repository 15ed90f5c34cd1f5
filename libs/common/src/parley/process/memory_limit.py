"""Memory of this process, and the limit at which the kernel ends it."""

import os
import resource
from pathlib import Path
from typing import NamedTuple

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED_V1 = 1 << 60
"""Limits of cgroup v1 above this mean that there is none."""


class MemoryUse(NamedTuple):
    """Bytes in use, and the limit in bytes."""

    used: int
    limit: int

    @property
    def share(self) -> float:
        """The used share of the limit."""
        return self.used / self.limit


class MemoryReader:
    """Reads the memory in use and the nearest limit: of the cgroup, one of its parents, the process or the machine."""

    def __init__(self, process: Path = Path("/proc/self"), cgroups: Path = CGROUPS) -> None:
        self._statm, self._groups = process / "statm", _limited_groups(process / "cgroup", cgroups)
        address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
        self._address_space = None if address_space == resource.RLIM_INFINITY else address_space
        self._page = os.sysconf("SC_PAGE_SIZE")
        self._machine = self._page * os.sysconf("SC_PHYS_PAGES")

    def read(self) -> MemoryUse | None:
        """Return the use with the highest share of its limit; None on a system without ``/proc``."""
        try:
            virtual, resident = (self._page * int(pages) for pages in self._statm.read_text().split()[:2])
        except (OSError, ValueError):
            return None
        found = [MemoryUse(resident, self._machine)]
        if self._address_space:
            found.append(MemoryUse(virtual, self._address_space))
        found += [use for use in map(_group_use, self._groups) if use is not None]
        return max(found, key=lambda use: use.share)


def _limited_groups(membership: Path, cgroups: Path) -> list[Path]:
    """Return the cgroup of this process and its parents. In a container, its own cgroup is the root."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root = cgroups if not controllers else cgroups / "memory"
        if not controllers or "memory" in controllers.split(","):
            group = root / path.lstrip("/")
            found += [each for each in (group, *group.parents) if each == root or root in each.parents]
    return [group for group in dict.fromkeys(found) if _group_use(group) is not None]


def _group_use(group: Path) -> MemoryUse | None:
    """Return the use of a cgroup without the file cache that the kernel can drop; None without a limit."""
    v2 = (group / "memory.max").exists()
    names = ("memory.max", "memory.current") if v2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    try:
        limit, used = ((group / name).read_text().strip() for name in names)
        stat = (group / "memory.stat").read_text()
        cache = next((int(line.split()[1]) for line in stat.splitlines() if _is_cache(line)), 0)
        if limit == "max" or int(limit) > UNLIMITED_V1:
            return None
        return MemoryUse(max(0, int(used) - cache), int(limit))
    except (OSError, ValueError):
        return None


def _is_cache(line: str) -> bool:
    return line.startswith(("inactive_file ", "total_inactive_file "))
