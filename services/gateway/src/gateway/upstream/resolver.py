"""The addresses behind a name: looked up again and again, because replicas come and go."""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog

from gateway.upstream.endpoint import Address
from gateway.upstream.pool import Pool

log = structlog.get_logger()

PAUSE, SHORTEST_PAUSE = 5.0, 0.5
"""Seconds between two look-ups, and when an address was ejected: its successor may be known already."""
TIMEOUT = 5.0
FAMILIES = (socket.AF_INET, socket.AF_INET6)

LookUp = Callable[[Address], Awaitable[Sequence[Address]]]


class Resolver:
    """Keeps a pool's addresses those that its configured names stand for."""

    def __init__(self, pool: Pool, look_up: LookUp | None = None) -> None:
        """Take a pool whose addresses are as configured, and what finds those behind one of them."""
        self._pool, self._configured, self._look_up = pool, list(pool.addresses), look_up or find
        self.needed = any(not _is_literal(address.host) for address in self._configured)
        self._doubt = asyncio.Event()
        pool.on_ejection = self._doubt.set

    async def watch(self) -> None:
        """Look up for ever; when nothing is found, what was known stays."""
        while True:
            self._doubt.clear()
            found = [each for address in self._configured for each in await self._look_up(address)]
            if found and {a.authority for a in found} != {a.authority for a in self._pool.addresses}:
                log.info("upstream addresses", upstream=self._pool.name, count=len(found))
                self._pool.replace(found)
            await asyncio.sleep(SHORTEST_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE - SHORTEST_PAUSE):
                    await self._doubt.wait()


async def find(address: Address) -> Sequence[Address]:
    """Return the addresses of a name: of IPv4 when there are any, else of IPv6; itself for a literal one."""
    if _is_literal(address.host):
        return [address]
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(TIMEOUT):
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return []
    hosts = {family: [str(where[0]) for kind, *_, where in found if kind == family] for family in FAMILIES}
    chosen = next((hosts[family] for family in FAMILIES if hosts[family]), [])
    return [Address(host, address.port, name=address.name) for host in dict.fromkeys(chosen)]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
