"""Redis client with short timeouts and no retries: an unreachable Redis costs milliseconds, not seconds."""

import contextlib
from collections.abc import AsyncIterator
from typing import TypeAlias

from parley.process import imports

# redis-py imports the OpenTelemetry metrics SDK when it is installed: 3 MB and 70 ms a service, for metrics that
# Parley does not enable.
with imports.block("opentelemetry.sdk.metrics"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError, ResponseError
    from redis.maint_notifications import MaintNotificationsConfig

    from parley.storage.redis_connection import CONNECTION_CLASSES
    from parley.storage.redis_sentinel import MASTER_CLASSES, parse_sentinel_url

__all__ = ["REDIS_UNAVAILABLE", "NoScriptError", "RedisClient", "ResponseError", "open_redis", "ping"]

RedisClient: TypeAlias = Redis
SOCKET_TIMEOUT = 0.05
"""Seconds of a call, unless the caller chooses others."""
CONNECT_TIMEOUT = 0.2
PING_KEY, PING_LIFETIME_MS = "parley:ping", 1000
REDIS_UNAVAILABLE: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)
"""Exceptions of the client when Redis is unreachable, too slow, or failing."""


@contextlib.asynccontextmanager
async def open_redis(
    url: str, *, timeout: float | None = SOCKET_TIMEOUT, max_connections: int = 32
) -> AsyncIterator[RedisClient]:
    """Open a pooled client; ``timeout`` limits each call in seconds (None for blocking reads).

    A Sentinel URL has the form ``redis+sentinel://host:port,host:port/service``.
    """
    behind_sentinel = parse_sentinel_url(url)
    pool = BlockingConnectionPool.from_url(
        behind_sentinel[0] if behind_sentinel else url,
        max_connections=max_connections,
        timeout=CONNECT_TIMEOUT,
        socket_timeout=timeout,
        socket_connect_timeout=max(CONNECT_TIMEOUT, timeout or 0),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        # With it, each new connection reads the metadata of installed packages and makes two more calls.
        driver_info=None,
        # When enabled, redis-py 8.1 reuses a connection that the server has closed: after a restart of Redis, one call
        # on each pooled connection would fail (redis-py #4252).
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    pool.connection_class = CONNECTION_CLASSES[pool.connection_class]
    if behind_sentinel:
        pool.connection_class = MASTER_CLASSES[pool.connection_class]
        pool.connection_kwargs["sentinels"] = behind_sentinel[1]
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


async def ping(client: RedisClient) -> None:
    """Raise unless Redis accepts writes: a replica, or a master that is out of memory or disk, also answers PING."""
    await client.set(PING_KEY, 1, px=PING_LIFETIME_MS)
