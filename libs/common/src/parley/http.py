"""The HTTP client between services: timeouts on everything, no redirects, no proxies from the environment."""

import contextlib
from collections.abc import AsyncIterator

import httpx2

CONNECT_TIMEOUT = 1.0
READ_TIMEOUT = 10.0
MAX_CONNECTIONS = 100


@contextlib.asynccontextmanager
async def open_client(
    base_url: str = "", *, read_timeout: float = READ_TIMEOUT, max_connections: int = MAX_CONNECTIONS
) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a pooled client; times are seconds."""
    client = httpx2.AsyncClient(
        base_url=base_url,
        timeout=httpx2.Timeout(read_timeout, connect=CONNECT_TIMEOUT, pool=CONNECT_TIMEOUT),
        limits=httpx2.Limits(max_connections=max_connections, keepalive_expiry=30),
        follow_redirects=False,
        trust_env=False,
    )
    async with client:
        yield client
