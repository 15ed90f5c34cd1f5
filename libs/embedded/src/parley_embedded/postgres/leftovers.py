"""Processes and lock files that an earlier run of PostgreSQL left in its folders."""

import signal
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.private_files import read_private
from parley_embedded.process.pid_file import KILL_TIMEOUT, PROC, ProcessIdentity, processes_in, stop_process

PROGRAM = "postgres"
LOCK_FILE = "postmaster.pid"
STOP_SEQUENCE = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))


async def stop_leftovers(cluster: Path) -> None:
    """Stop every process of the cluster; raise EmbeddedError when one does not stop."""
    # The postmaster first, so that it shuts down cleanly; then backends without one, which would block a start.
    pid = _locked_by(cluster / LOCK_FILE)
    postmaster = next((found for found in processes_in(cluster, PROGRAM) if found.pid == pid), None)
    if postmaster is not None:
        await stop_process(postmaster, STOP_SEQUENCE)
    for leftover in processes_in(cluster, PROGRAM):
        if not await stop_process(leftover, ((signal.SIGQUIT, KILL_TIMEOUT),)):
            raise EmbeddedError(
                f"PostgreSQL of an earlier run (process {leftover.pid}) does not stop. Kill that process."
            )


def remove_stale_lock(lock: Path, cluster: Path) -> None:
    """Remove a lock file that is empty or damaged, or whose process is not a server of this cluster.

    PostgreSQL refuses to start with such a file, and it considers a killed process that its parent has not reaped (a
    zombie) and every other process with that ID as a running server.
    """
    pid = _locked_by(lock)
    if PROC.exists() and not (pid is not None and _may_be_server(pid, cluster)):
        lock.unlink(missing_ok=True)


def _locked_by(lock: Path) -> int | None:
    try:
        return abs(int((read_private(lock) or "").split()[0]))
    except (ValueError, IndexError):
        return None


def _may_be_server(pid: int, cluster: Path) -> bool:
    if ProcessIdentity.of(pid) is None:
        return False
    try:
        if (PROC / str(pid) / "comm").read_text().strip() != PROGRAM:
            return False
        return (PROC / str(pid) / "cwd").readlink() == cluster.resolve()
    except OSError:
        return True
