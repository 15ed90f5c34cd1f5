"""Checks of Redis."""

import time
from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from parley.storage.redis import RedisClient, open_redis, ping
from parley.storage.redis_connection import ServerRefused
from parley_cli.diagnosis.clocks import check_clock, now
from parley_cli.diagnosis.findings import Finding, fault, warning
from parley_cli.diagnosis.probes import CALL_TIMEOUT, Unreachable, reason

MAX_LATENCY_MS = 25.0
"""Half of the time after which limits become local."""
MAX_MEMORY_SHARE = 0.9


async def check_redis(target: str, url: str) -> list[Finding]:
    """Check that Redis is reachable, writable and quick, and has memory left."""
    async with open_redis(url, timeout=CALL_TIMEOUT, max_connections=1) as client:
        try:
            await client.time()
            asked, began = now(), time.perf_counter()
            seconds, microseconds = await client.time()
            latency, answered = (time.perf_counter() - began) * 1000, now()
            found = await _server(target, client, latency)
        except (AuthenticationError, NoPermissionError) as error:
            raise Unreachable("redis_refused", f"Redis refuses the login ({type(error).__name__}).") from None
        except ServerRefused as error:
            code = "redis_refused" if "NOAUTH" in str(error) else "redis_read_only"
            raise Unreachable(code, str(error)) from None
        except RedisError as error:
            cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise Unreachable("redis_unreachable", f"Not reachable: {reason(cause)}.") from None
    return [*found, check_clock(target, seconds + microseconds / 1e6, asked=asked, answered=answered)]


async def _server(target: str, client: RedisClient, latency: float) -> list[Finding]:
    info = await _info(client)
    version = info.get("valkey_version") or info.get("redis_version")
    name = "Valkey" if "valkey_version" in info else "Redis"
    text = f"{name} {version}, {latency:.1f} ms." if version else f"Redis, {latency:.1f} ms."
    facts = {"version": version, "latency_ms": round(latency, 1), "role": info.get("role"), "writable": True}
    try:
        await ping(client)
    except ServerRefused as error:
        code = "redis_full" if "OOM" in str(error) else "redis_read_only"
        return [fault(target, "server", code, f"{text} {error}", **facts | {"writable": False})]
    if latency > MAX_LATENCY_MS:
        return [warning(target, "server", "redis_slow", text, **facts), *_memory(target, info)]
    return [Finding(target, "server", text, facts=facts), *_memory(target, info)]


async def _info(client: RedisClient) -> dict[str, Any]:
    """Return what INFO says, or nothing if the user may not call it."""
    try:
        return dict(await client.info())
    except NoPermissionError:
        return {}


def _memory(target: str, info: dict[str, Any]) -> list[Finding]:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > limit * MAX_MEMORY_SHARE:
        text = f"{used / 1e6:.0f} of {limit / 1e6:.0f} MB are used."
        return [warning(target, "memory", "redis_nearly_full", text, used_bytes=used, limit_bytes=limit)]
    return []
