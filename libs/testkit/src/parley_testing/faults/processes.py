"""Faults of processes: kill, freeze, crash and restart. Each asserts that it took effect."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from parley_testing.waiting import eventually

EFFECT_TIMEOUT = 10.0
"""Seconds within which a fault must take effect."""
_DEAD = "ZX"
"""Kernel states of processes that have ended."""


class HasPid(Protocol):
    """A running process: ``subprocess.Popen``, ``asyncio.subprocess.Process``, or a child of ``parley_embedded``."""

    @property
    def pid(self) -> int:
        """The process id."""
        ...


class Restartable(Protocol):
    """A server of ``parley_embedded``."""

    @property
    def child(self) -> HasPid:
        """Its process."""
        ...

    async def start(self) -> None:
        """Start it again and wait until it serves."""
        ...


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def reset_peak(pid: int) -> None:
    """Let the peak of a process's resident memory begin at what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Return the peak of a process's resident memory in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def state_of(pid: int) -> str | None:
    """Return a process's state letter in the kernel (``R``, ``S``, ``T``, …); None if it has ended."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        # The first thread may be a zombie while other threads run; the process has ended when all have.
        ended = state in _DEAD and len(list((process / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if ended else state


def port_refuses(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a port refuses connections."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) != 0


async def kill(process: HasPid, *, port: int | None = None) -> None:
    """Send SIGKILL; assert that the process ran, has ended, and that its ``port`` refuses connections."""
    pid = process.pid
    assert state_of(pid) is not None, f"process {pid} was gone before it was killed"
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: state_of(pid) is None, within=EFFECT_TIMEOUT, message=f"process {pid} survived SIGKILL")
    if port is not None:
        await eventually(lambda: port_refuses(port), within=EFFECT_TIMEOUT, message=f"port {port} still answers")


async def stop(process: HasPid) -> None:
    """Send SIGSTOP; assert that the process is stopped."""
    pid = process.pid
    assert state_of(pid) is not None, f"process {pid} was gone before it was stopped"
    os.kill(pid, signal.SIGSTOP)
    await eventually(lambda: state_of(pid) == "T", within=EFFECT_TIMEOUT, message=f"process {pid} was not stopped")


async def resume(process: HasPid) -> None:
    """Send SIGCONT; assert that the process runs."""
    pid = process.pid
    os.kill(pid, signal.SIGCONT)
    await eventually(
        lambda: state_of(pid) not in {"T", None}, within=EFFECT_TIMEOUT, message=f"process {pid} did not go on"
    )


@contextlib.asynccontextmanager
async def frozen(process: HasPid) -> AsyncIterator[None]:
    """Keep a process stopped in a context."""
    await stop(process)
    try:
        yield
    finally:
        await resume(process)


async def crash(server: Restartable, *, port: int) -> None:
    """Kill a server; assert that its process has ended and its port refuses connections."""
    await kill(server.child, port=port)


async def restart(server: Restartable, *, port: int, down: float = 0) -> None:
    """Kill a server, leave it down for some seconds, and start it; assert that a new process runs."""
    before = server.child.pid
    await crash(server, port=port)
    await asyncio.sleep(down)
    await server.start()
    assert server.child.pid != before, "the same process serves again"
    assert not port_refuses(port), f"port {port} refuses after the restart"
