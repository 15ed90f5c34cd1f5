"""Faults for tests, each of which asserts that it took effect: a fault that hit nothing would prove nothing."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from parley_testing.waiting import eventually

TAKES_EFFECT = 10.0
"""Seconds within which a fault must be seen to have happened."""
_GONE = "ZX"
"""Process states that only wait to be buried."""


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


def state_of(pid: int) -> str | None:
    """Return a process's state letter as the kernel shows it (``R``, ``S``, ``T``, …), None when it is gone."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        # The first thread may be a zombie while others still end: only then can the process be waited for.
        ended = state in _GONE and len(list((process / "task").iterdir())) <= 1
    except OSError:
        return None
    return None if ended else state


def port_refuses(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether nobody listens on a port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) != 0


async def kill(process: HasPid, *, port: int | None = None) -> None:
    """End a process by SIGKILL; asserts that it lived, is gone, and that ``port`` (its own) refuses."""
    pid = process.pid
    assert state_of(pid) is not None, f"process {pid} was gone before it was killed"
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: state_of(pid) is None, within=TAKES_EFFECT, message=f"process {pid} survived SIGKILL")
    if port is not None:
        await eventually(lambda: port_refuses(port), within=TAKES_EFFECT, message=f"port {port} still answers")


async def stop(process: HasPid) -> None:
    """Freeze a process by SIGSTOP; asserts that the kernel shows it stopped."""
    pid = process.pid
    assert state_of(pid) is not None, f"process {pid} was gone before it was stopped"
    os.kill(pid, signal.SIGSTOP)
    await eventually(lambda: state_of(pid) == "T", within=TAKES_EFFECT, message=f"process {pid} was not stopped")


async def resume(process: HasPid) -> None:
    """Let a frozen process go on; asserts that it does."""
    pid = process.pid
    os.kill(pid, signal.SIGCONT)
    await eventually(
        lambda: state_of(pid) not in {"T", None}, within=TAKES_EFFECT, message=f"process {pid} did not go on"
    )


@contextlib.asynccontextmanager
async def frozen(process: HasPid) -> AsyncIterator[None]:
    """Keep a process frozen while the context is entered."""
    await stop(process)
    try:
        yield
    finally:
        await resume(process)


async def crash(server: Restartable, *, port: int) -> None:
    """Kill a server as a power cut would; asserts that its process is gone and its port refuses."""
    await kill(server.child, port=port)


async def restart(server: Restartable, *, port: int, down: float = 0) -> None:
    """Crash a server, leave it down for some seconds, start it; asserts that another process answers."""
    before = server.child.pid
    await crash(server, port=port)
    await asyncio.sleep(down)
    await server.start()
    assert server.child.pid != before, "the same process serves again"
    assert not port_refuses(port), f"port {port} refuses after the restart"
