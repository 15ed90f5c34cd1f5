"""Who leads: which process holds an advisory lock of a database, found by its connection's port."""

from pathlib import Path

import asyncpg

from parley_testing.stacks.separate import SeparateStack
from parley_testing.stacks.service_process import ServiceProcess
from parley_testing.waiting import eventually

_HOLDER = """
SELECT a.client_port, inet_server_port() FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted
  AND a.application_name = 'parley-relay' AND a.datname = current_database()"""
SECONDS = 10.0


async def leading_chat(stack: SeparateStack, *, within: float) -> ServiceProcess:
    """Return the chat whose relay publishes; AssertionError when none does in time."""
    url = stack.database_url("chat")

    async def found() -> ServiceProcess | None:
        pid = await relay_leader(url)
        return next((replica for replica in stack.chat if replica.child.pid == pid), None)

    replica: ServiceProcess = await eventually(found, within=within, message="no chat leads")
    return replica


async def relay_leader(database_url: str) -> int | None:
    """Return the pid of the process whose relay leads a service on a Postgres of this machine, None when none does."""
    connection = await asyncpg.connect(database_url, timeout=SECONDS, command_timeout=SECONDS)
    try:
        ports = await connection.fetchrow(_HOLDER)
    finally:
        await connection.close(timeout=SECONDS)
    return None if ports is None else owner_of(*ports)


def owner_of(port: int, server: int) -> int | None:
    """Return the pid of the process that has the client's end of a local TCP connection from a port to a server's."""
    inode = _inode(port, server)
    if inode is None:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and f"socket:[{inode}]" in _open_files(process):
            return int(process.name)
    return None


def _inode(port: int, server: int) -> str | None:
    # Connections to different servers may come from the same port.
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
