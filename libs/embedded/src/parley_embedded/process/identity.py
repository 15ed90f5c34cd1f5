"""Know a process again: by its pid, its start time and the boot both belong to."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
POLL_SECONDS = 0.02
KILL_SECONDS = 10.0

Ending = Sequence[tuple[signal.Signals, float]]
"""Signals to try in this order, each with the seconds it gets; SIGKILL follows by itself."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One run of one program. A reused pid has another start time, a reboot another boot id."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """Return the identity of a living process, None when it is gone, a zombie or cannot be known (no /proc)."""
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        state, started = fields[0], int(fields[19])
        return None if state in "ZX" else cls(pid, started, boot)

    def alive(self) -> bool:
        """Tell whether exactly this process still runs."""
        return ProcessIdentity.of(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Signal the process if it is still the same one."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class PidFile:
    """Remember a process on disk, so that the next start can find what a kill -9 left behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, pid: int) -> None:
        """Store the identity of a running process."""
        identity = ProcessIdentity.of(pid)
        if identity is not None:
            self.path.write_text(f"{identity.pid} {identity.started} {identity.boot}\n")

    def living(self) -> ProcessIdentity | None:
        """Return the remembered process if it still runs."""
        try:
            pid, started, boot = self.path.read_text().split()
            identity = ProcessIdentity(int(pid), int(started), boot)
        except (OSError, ValueError):
            return None
        return identity if identity.alive() else None

    def remove(self) -> None:
        """Forget the process."""
        self.path.unlink(missing_ok=True)


async def end_process(identity: ProcessIdentity, ending: Ending) -> bool:
    """Stop a process that need not be our child; return whether it is gone."""
    identity.send(signal.SIGCONT)
    for number, seconds in (*ending, (signal.SIGKILL, KILL_SECONDS)):
        identity.send(number)
        if await _gone(identity, seconds):
            return True
    return False


async def _gone(identity: ProcessIdentity, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while identity.alive():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


def processes_in(folder: Path, program: str) -> Iterable[ProcessIdentity]:
    """Yield the processes named `program` whose working folder is `folder`."""
    wanted = folder.resolve()
    for entry in PROC.glob("[0-9]*"):
        try:
            found = (entry / "cwd").readlink() == wanted and (entry / "comm").read_text().strip() == program
        except OSError:
            continue
        identity = ProcessIdentity.of(int(entry.name)) if found else None
        if identity is not None:
            yield identity
