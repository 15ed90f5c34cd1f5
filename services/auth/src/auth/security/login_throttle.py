"""Login throttle: slows down password guessing without letting strangers lock an account.

Failures are counted per account and address, per address, and per account. The first two delay logins from that
address, longer with each failure. The third count never delays by itself: it marks an account as under attack, so that
an address is delayed after its first failure instead of its fifth. An address without failures is never delayed.
"""

import hashlib
import ipaddress
import math
import time
from collections.abc import Callable, Sequence

import structlog

from auth.errors import LoginThrottled
from auth.security.login_failures import FailureCount, FailureCounter
from parley.errors import DependencyUnavailable
from parley.process.outage_pause import OutagePause

log = structlog.get_logger()

FAILURE_WINDOW = 900
"""Seconds after the last failure until a count expires; also the longest delay."""
PAIR_LIMIT, ATTACKED_PAIR_LIMIT = 5, 1
ADDRESS_LIMIT = 30
ATTACK_THRESHOLD = 20
IPV6_SITE_BITS = 64
"""A client can use any address of its IPv6 site, so failures count for the site."""
KEY_PREFIX = "parley:limit:login"
OUTAGE_PAUSE = 1.0
"""Seconds without calls to the shared counts after a failed one. A login has three calls, two of them while it holds a
thread for its hash: with a timeout each, few logins would pass."""


class LoginThrottle:
    """Decides whether a login may be tried; uses the local counts while the shared ones are unavailable."""

    def __init__(
        self, shared: FailureCounter, local: FailureCounter, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._shared, self._local = shared, local
        self._pause = OutagePause(OUTAGE_PAUSE, clock=clock)

    async def check(self, account: str, address: str) -> None:
        """Raise LoginThrottled while the next attempt has to wait."""
        pair, source, target = await self._read(_keys(account, address))
        limit = ATTACKED_PAIR_LIMIT if target.count >= ATTACK_THRESHOLD else PAIR_LIMIT
        wait = max(_remaining_delay(pair, limit), _remaining_delay(source, ADDRESS_LIMIT))
        if wait > 0:
            raise LoginThrottled(math.ceil(wait))

    async def record_failure(self, account: str, address: str) -> None:
        """Count a wrong password."""
        keys = _keys(account, address)
        await self._local.add(keys, FAILURE_WINDOW)
        if self._pause.is_over:
            try:
                await self._shared.add(keys, FAILURE_WINDOW)
            except DependencyUnavailable:
                self._note_outage("login_failure_not_shared")

    async def record_success(self, account: str, address: str) -> None:
        """Clear the failures of this account at this address."""
        key = _keys(account, address)[0]
        await self._local.clear(key)
        if self._pause.is_over:
            try:
                await self._shared.clear(key)
            except DependencyUnavailable:
                self._note_outage("login_failures_not_cleared")

    async def _read(self, keys: Sequence[str]) -> list[FailureCount]:
        if self._pause.is_over:
            try:
                return await self._shared.read(keys)
            except DependencyUnavailable:
                self._note_outage("login_failures_not_shared")
        return await self._local.read(keys)

    def _note_outage(self, event: str) -> None:
        self._pause.begin()
        log.warning(event)


def _remaining_delay(failures: FailureCount, limit: int) -> float:
    """Return the remaining seconds of the delay: 1 s at the limit, doubled by each further failure."""
    if failures.count < limit:
        return 0
    delay = min(2.0 ** min(failures.count - limit, 20), FAILURE_WINDOW)
    return delay - failures.age


def _keys(account: str, address: str) -> tuple[str, str, str]:
    site = client_site(address)
    pair = _digest(f"{account}\n{site}")
    return (
        f"{KEY_PREFIX}:pair:{pair}",
        f"{KEY_PREFIX}:address:{_digest(site)}",
        f"{KEY_PREFIX}:account:{_digest(account)}",
    )


def client_site(address: str | None) -> str:
    """Return what counts as one client: an IPv4 address, or the site of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, IPV6_SITE_BITS), strict=False))
    return str(parsed)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
