"""Checks of the disks of this machine."""

import shutil
from pathlib import Path

from parley_cli.diagnosis.findings import Finding, fault

REQUIRED_BYTES = 300_000_000


async def check_disk(target: str, folder: Path) -> list[Finding]:
    """Check that the disk of a folder has space left."""
    return [judge(target, shutil.disk_usage(folder).free)]


def judge(target: str, free: int) -> Finding:
    """Judge the free space in bytes."""
    text = f"{free / 1e9:.1f} GB are free."
    if free < REQUIRED_BYTES:
        return fault(target, "disk", "disk_nearly_full", text, free_bytes=free)
    return Finding(target, "disk", text, facts={"free_bytes": free})
