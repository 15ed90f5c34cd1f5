"""DNS resolver that keeps the endpoints of a service up to date."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway.upstream.endpoint import Endpoint
from gateway.upstream.pool import Pool
from parley.process.timeouts import at_most

log = structlog.get_logger()

INTERVAL, MIN_INTERVAL = 5.0, 0.5
"""Seconds between two lookups. The shorter ones are for a name without an address, and after an ejection."""
LOOKUP_TIMEOUT = 5.0
_FAMILIES = (socket.AF_INET, socket.AF_INET6)

LookUp = Callable[[Endpoint], Awaitable[Sequence[Endpoint]]]


class Resolver:
    """Resolves the configured names of a pool periodically."""

    def __init__(self, pool: Pool, look_up: LookUp | None = None) -> None:
        """Take a pool with its configured endpoints. ``look_up`` resolves one of them, by default through DNS."""
        self._pool, self._configured, self._look_up = pool, list(pool.endpoints), look_up or resolve
        self._found: list[Sequence[Endpoint]] = [()] * len(self._configured)
        self.needed = any(not _is_ip_address(endpoint.host) for endpoint in self._configured)
        self.name = pool.name
        self._refresh_now = asyncio.Event()
        pool.on_ejection = self._refresh_now.set

    async def run(self) -> None:
        """Resolve periodically. While the lookup of a name fails, its known endpoints stay in use."""
        while True:
            self._refresh_now.clear()
            found_all = await self.refresh()
            await asyncio.sleep(MIN_INTERVAL)
            if found_all:
                async with at_most(INTERVAL - MIN_INTERVAL):
                    await self._refresh_now.wait()

    async def refresh(self) -> bool:
        """Resolve the names once, and tell whether each has an address.

        The gateway does so at its start, so that its first request does not wait for it.
        """
        looked_up = await asyncio.gather(*map(self._look_up, self._configured))
        self._found = [new or known for new, known in zip(looked_up, self._found, strict=True)]
        found = [endpoint for endpoints in self._found for endpoint in endpoints]
        if found and {e.authority for e in found} != {e.authority for e in self._pool.endpoints}:
            log.info("upstream_endpoints_changed", upstream=self._pool.name, count=len(found))
            self._pool.replace_endpoints(found)
        return all(looked_up)


async def resolve(endpoint: Endpoint) -> Sequence[Endpoint]:
    """Return an endpoint per IP address of the host: IPv4 if there are any, else IPv6. Empty if the lookup fails."""
    if _is_ip_address(endpoint.host):
        return [endpoint]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return []
    hosts = {family: [str(where[0]) for kind, *_, where in found if kind == family] for family in _FAMILIES}
    chosen = next((hosts[family] for family in _FAMILIES if hosts[family]), [])
    return [Endpoint(host, endpoint.port, name=endpoint.name) for host in dict.fromkeys(chosen)]


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
