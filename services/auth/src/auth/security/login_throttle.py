"""Slowing down who guesses passwords, without letting strangers lock anybody out.

Failures are counted for an account at one address, for an address, and for an account. The first two make their own
address wait, longer with each failure. The third never refuses anybody: it only means that the account is under attack,
and then an address is made to wait after its first failure instead of its fifth. An address without failures is always
let through.
"""

import hashlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import structlog

from auth.errors import LoginThrottled
from auth.security.login_failures import FailureCounts, Failures
from parley.errors import DependencyUnavailable

log = structlog.get_logger()

WINDOW = 900
"""Seconds after the last failure when all is forgotten; also the longest wait."""
PAIR_LIMIT, ATTACKED_PAIR_LIMIT = 5, 1
ADDRESS_LIMIT = 30
ACCOUNT_ALARM = 20
MAX_LOCAL = 50_000
IPV6_SITE = 64
"""An IPv6 site owns this many leading bits: its single addresses cost nothing."""
PREFIX = "parley:limit:login"


class Throttle:
    """Decides whether a log-in may be tried; counts in Redis, and in this process for when Redis is away."""

    def __init__(self, shared: FailureCounts, local: FailureCounts) -> None:
        """Take the counts that all replicas share, and this process's own."""
        self._shared, self._local = shared, local

    async def check(self, account: str, address: str) -> None:
        """Raise LoginThrottled while an attempt has to wait."""
        pair, source, attacked = await self._read(_keys(account, address))
        limit = ATTACKED_PAIR_LIMIT if attacked.count >= ACCOUNT_ALARM else PAIR_LIMIT
        wait = max(_wait(pair, limit), _wait(source, ADDRESS_LIMIT))
        if wait > 0:
            raise LoginThrottled(math.ceil(wait))

    async def failed(self, account: str, address: str) -> None:
        """Count a wrong password."""
        keys = _keys(account, address)
        await self._local.add(keys, WINDOW)
        try:
            await self._shared.add(keys, WINDOW)
        except DependencyUnavailable:
            log.warning("failed log-in counted locally only")

    async def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account at this address."""
        key = _keys(account, address)[0]
        await self._local.clear(key)
        try:
            await self._shared.clear(key)
        except DependencyUnavailable:
            log.warning("log-in failures not cleared")

    async def _read(self, keys: Sequence[str]) -> list[Failures]:
        try:
            return await self._shared.read(keys)
        except DependencyUnavailable:
            return await self._local.read(keys)


class LocalCounts:
    """Counts of this process, bounded: the oldest are forgotten first."""

    def __init__(self, *, capacity: int = MAX_LOCAL, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many keys are kept."""
        self._capacity, self._clock = capacity, clock
        self._found: OrderedDict[str, tuple[int, float, float]] = OrderedDict()

    async def read(self, keys: Sequence[str]) -> list[Failures]:
        """Return the counts."""
        return [self._one(key) for key in keys]

    async def add(self, keys: Sequence[str], window: int) -> None:
        """Count one more for each key."""
        for key in keys:
            self._found[key] = (self._one(key).count + 1, self._clock(), self._clock() + window)
            self._found.move_to_end(key)
        while len(self._found) > self._capacity:
            self._found.popitem(last=False)

    async def clear(self, key: str) -> None:
        """Forget a key."""
        self._found.pop(key, None)

    def _one(self, key: str) -> Failures:
        count, last, until = self._found.get(key, (0, 0.0, 0.0))
        if until <= self._clock():
            return Failures()
        return Failures(count, self._clock() - last)


def _wait(failures: Failures, limit: int) -> float:
    """Return the seconds still to wait: 1 after the limit is reached, doubled by each further failure."""
    if failures.count < limit:
        return 0
    delay = min(2.0 ** min(failures.count - limit, 20), WINDOW)
    return delay - failures.age


def _keys(account: str, address: str) -> tuple[str, str, str]:
    site = _site(address)
    pair = _digest(f"{account}\n{site}")
    return f"{PREFIX}:pair:{pair}", f"{PREFIX}:address:{_digest(site)}", f"{PREFIX}:account:{_digest(account)}"


def _site(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, IPV6_SITE), strict=False))
    return str(parsed)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
