"""The Redis client: short timeouts and no retries, so that an absent Redis costs milliseconds, not seconds."""

import contextlib
from collections.abc import AsyncIterator
from typing import TypeAlias

from parley.process.imports import block

# It has metrics of its own, which nobody turns on here; their SDK would cost every service 3 MB and 70 ms.
with block("opentelemetry.sdk.metrics"):
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoScriptError, RedisError, ResponseError
    from redis.maint_notifications import MaintNotificationsConfig

__all__ = ["REDIS_UNAVAILABLE", "NoScriptError", "RedisClient", "ResponseError", "open_redis"]

RedisClient: TypeAlias = Redis
SOCKET_TIMEOUT = 0.05
CONNECT_TIMEOUT = 0.2
REDIS_UNAVAILABLE: tuple[type[BaseException], ...] = (RedisError, OSError, TimeoutError)
"""What the client raises when Redis is away, frozen or confused."""


@contextlib.asynccontextmanager
async def open_redis(
    url: str, *, timeout: float | None = SOCKET_TIMEOUT, max_connections: int = 32
) -> AsyncIterator[RedisClient]:
    """Open a pooled client; ``timeout`` is for each call, in seconds (None for blocking reads)."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=CONNECT_TIMEOUT,
        socket_timeout=timeout,
        socket_connect_timeout=max(CONNECT_TIMEOUT, timeout or 0),
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        # With them on, redis-py 8.1 takes a connection that the server has closed for a usable one: after a restart of
        # Redis each pooled connection would fail one call (redis-py #4252).
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()
