"""Faults inside a server: no room left, and a password that is no longer right."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, OutOfMemoryError

from blackout.rig import Rig
from parley_embedded.rabbitmq.server import USER
from parley_testing.faults import processes
from parley_testing.waiting import eventually

OTHER_PASSWORD = "another-password"
NO_MEMORY, MEMORY = "1mb", "256mb"
CALL_TIMEOUT = 10.0
_BLOCK = bytes(1024 * 1024)
_GROW = "CREATE TABLE filled AS SELECT repeat('x', 1000) AS text FROM generate_series(1, 100000)"
_END_SESSIONS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"


@contextlib.asynccontextmanager
async def full_postgres(rig: Rig) -> AsyncIterator[None]:
    """Leave no byte on Postgres's disk; start it again if it has ended."""
    filler = rig.disk / "filler"
    try:
        await asyncio.to_thread(_fill, filler)
        await eventually(lambda: _cannot_grow(rig), within=CALL_TIMEOUT, message="Postgres has room left")
        yield
    finally:
        filler.unlink()
        await rig.servers.postgres.start()


def _fill(path: Path) -> None:
    """Write until the disk is full, however much room Postgres takes meanwhile."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(_BLOCK)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


async def _cannot_grow(rig: Rig) -> bool:
    try:
        connection = await asyncpg.connect(rig.servers.postgres.url, timeout=CALL_TIMEOUT)
        try:
            await connection.execute(_GROW)
        finally:
            await connection.close(timeout=CALL_TIMEOUT)
    except (asyncpg.DiskFullError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError):
        return True
    return False


@contextlib.asynccontextmanager
async def full_redis(rig: Rig) -> AsyncIterator[None]:
    """Let Redis refuse every write."""
    async with Redis.from_url(rig.servers.valkey.url) as redis:
        await redis.config_set("maxmemory", NO_MEMORY)
        try:
            with contextlib.suppress(OutOfMemoryError):
                await redis.set("filled", "x")
                raise AssertionError("Redis has room left")
            yield
        finally:
            await redis.config_set("maxmemory", MEMORY)


@contextlib.asynccontextmanager
async def refusing_postgres(rig: Rig) -> AsyncIterator[None]:
    """Change the passwords of the services' roles, and end their sessions."""
    connection = await asyncpg.connect(rig.servers.postgres.url)
    roles = {parts.username: parts.password for parts in map(urlsplit, rig.stack.database_urls.values())}
    try:
        for role in roles:
            await connection.execute(f"ALTER ROLE {role} PASSWORD '{OTHER_PASSWORD}'")
            await connection.execute(_END_SESSIONS, role)
        with contextlib.suppress(asyncpg.InvalidPasswordError):
            await asyncpg.connect(rig.stack.database_urls["chat"], timeout=CALL_TIMEOUT)
            raise AssertionError("Postgres accepts the old password")
        yield
    finally:
        for role, password in roles.items():
            await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
        await connection.close()


@contextlib.asynccontextmanager
async def refusing_redis(rig: Rig) -> AsyncIterator[None]:
    """Change the password of Redis, and end every session."""
    url = rig.servers.valkey.url
    async with Redis.from_url(url) as redis:
        await redis.config_set("requirepass", OTHER_PASSWORD)
        await redis.client_kill_filter(_type="normal", skipme=True)
        try:
            with contextlib.suppress(AuthenticationError):
                async with Redis.from_url(url) as other:
                    await other.ping()
                raise AssertionError("Redis accepts the old password")
            yield
        finally:
            await redis.config_set("requirepass", urlsplit(url).password or "")


@contextlib.asynccontextmanager
async def refusing_rabbitmq(rig: Rig) -> AsyncIterator[None]:
    """Change the password of the services' user, and end every connection."""
    node = rig.servers.rabbitmq
    await node.ctl("change_password", USER, OTHER_PASSWORD)
    try:
        await node.ctl("close_all_connections", "drill")
        yield
    finally:
        await node.ctl("change_password", USER, node.password)


@contextlib.asynccontextmanager
async def answering(rig: Rig, status: int) -> AsyncIterator[None]:
    """Let the provider answer every new call with an error."""
    await rig.provider.set_knobs(status=status, **({"retry_after": 5} if status == 429 else {}))
    try:
        yield
    finally:
        await rig.provider.set_knobs()


@contextlib.asynccontextmanager
async def stopped_provider(rig: Rig) -> AsyncIterator[None]:
    """Kill the provider."""
    await rig.provider.kill()
    assert processes.port_refuses(urlsplit(rig.provider.url).port or 0), "the provider still answers"
    try:
        yield
    finally:
        await rig.provider.start()


@contextlib.asynccontextmanager
async def paused_provider(rig: Rig) -> AsyncIterator[None]:
    """Suspend the provider."""
    async with processes.frozen(rig.provider.process):
        yield
