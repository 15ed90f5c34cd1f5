"""Identity of a process (ID, start time, boot ID), and the PID file that stores it."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.private_files import read_private, write_private

PROC = Path("/proc")
POLL_INTERVAL = 0.02
KILL_TIMEOUT = 10.0

StopSequence = Sequence[tuple[signal.Signals, float]]
"""Signals to send in this order, each with the seconds to wait for it. SIGKILL follows."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One run of one program. A reused process ID has another start time, and a reboot has another boot ID."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of a running process; None for an ended one, a zombie, or without /proc."""
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        state, started = fields[0], int(fields[19])
        return None if state in "ZX" else cls(pid, started, boot)

    def is_alive(self) -> bool:
        """Return whether this very process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal if the process still runs."""
        if self.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class PidFile:
    """File with the identity of a child, with which the next start finds what a SIGKILL of the parent left running."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, pid: int) -> None:
        """Store the identity of a running process."""
        identity = ProcessIdentity.of(pid)
        if identity is not None:
            write_private(self.path, f"{identity.pid} {identity.started} {identity.boot}\n")

    def read_running(self) -> ProcessIdentity | None:
        """Return the stored process if it still runs; None when the file is missing or damaged."""
        try:
            pid, started, boot = (read_private(self.path) or "").split()
            identity = ProcessIdentity(int(pid), int(started), boot)
        except ValueError:
            return None
        return identity if identity.is_alive() else None

    def remove(self) -> None:
        """Remove the file. A file that remains does no harm: it names a process that has ended."""
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)


async def stop_process(identity: ProcessIdentity, sequence: StopSequence) -> bool:
    """Stop a process that need not be a child of this one; return whether it has ended."""
    identity.send(signal.SIGCONT)
    for number, timeout in (*sequence, (signal.SIGKILL, KILL_TIMEOUT)):
        identity.send(number)
        if await _has_ended(identity, timeout):
            return True
    return False


async def _has_ended(identity: ProcessIdentity, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    while identity.is_alive():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_INTERVAL)
    return True


def processes_in(folder: Path, program: str) -> Iterable[ProcessIdentity]:
    """Yield the processes with the name `program` and the working folder `folder`."""
    expected = folder.resolve()
    for entry in PROC.glob("[0-9]*"):
        try:
            matches = (entry / "cwd").readlink() == expected and (entry / "comm").read_text().strip() == program
        except OSError:
            continue
        identity = ProcessIdentity.of(int(entry.name)) if matches else None
        if identity is not None:
            yield identity
