"""Process whose outbox relay holds the leader lock of a database."""

from pathlib import Path

import asyncpg

from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.waiting import eventually

_HOLDER = """
SELECT a.client_port, inet_server_port() FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND a.application_name = 'parley-relay' AND a.datname = current_database()"""
QUERY_TIMEOUT = 10.0


async def leading_chat(stack: SeparateStack, *, within: float) -> ServiceProcess:
    """Return the chat process whose relay is the leader; raise AssertionError if there is none in time."""
    url = stack.database_url("chat")

    async def found() -> ServiceProcess | None:
        pid = await relay_leader(url)
        return next((replica for replica in stack.chat if replica.child.pid == pid), None)

    replica: ServiceProcess = await eventually(found, within=within, message="no chat leads")
    return replica


async def relay_leader(database_url: str) -> int | None:
    """Return the pid of the process that holds the leader lock; None if no process of this machine does."""
    connection = await asyncpg.connect(database_url, timeout=QUERY_TIMEOUT, command_timeout=QUERY_TIMEOUT)
    try:
        ports = await connection.fetchrow(_HOLDER)
    finally:
        await connection.close(timeout=QUERY_TIMEOUT)
    return None if ports is None else owner_of(*ports)


def owner_of(port: int, server: int) -> int | None:
    """Return the pid of the process that owns the client side of a local TCP connection."""
    inode = _inode(port, server)
    if inode is None:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and f"socket:[{inode}]" in _open_files(process):
            return int(process.name)
    return None


def _inode(port: int, server: int) -> str | None:
    # Connections to different servers may use the same client port.
    here, there = f":{port:04X}", f":{server:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(here) and fields[2].endswith(there) and fields[9] != "0":
            return fields[9]
    return None


def _open_files(process: Path) -> set[str]:
    try:
        return {str(entry.readlink()) for entry in (process / "fd").iterdir()}
    except OSError:
        return set()
