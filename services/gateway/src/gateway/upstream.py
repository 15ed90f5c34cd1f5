"""The pool of connections to the replicas of one service: which to ask, which to leave alone, how many at once."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import structlog

from gateway.connection import Connection, Failure, Slow, Unreachable
from gateway.errors import UpstreamUnavailable
from parley.errors import Overloaded
from parley.settings import SettingsError

log = structlog.get_logger()

SWEEP = 0.1
"""Seconds between two looks at deadlines."""
KEEP_IDLE = 30.0
"""Seconds a connection may be idle: less than the services keep theirs, so that they never close first."""
QUEUE_TIMEOUT = 1.0
FAILURES = 5
"""Failures in a row after which an address is left alone."""
FIRST_EJECTION, LONGEST_EJECTION = 1.0, 30.0
RETRY_SHARE, RETRY_FLOOR, RETRY_WINDOW = 0.2, 3, 10.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many requests may be open at one address, how many may wait, and the seconds to connect."""

    connections: int = 512
    queue: int = 512
    connect_timeout: float = 1.0


class Address:
    """One replica: its idle connections, its load, and whether it is ejected."""

    def __init__(self, host: str, port: int, *, name: bytes = b"") -> None:
        """Take where it listens, and the ``name`` it is called by when ``host`` was looked up."""
        self.host, self.port = host, port
        self.authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        self.name = name or self.authority
        self.idle: list[Connection] = []
        self.connections: set[Connection] = set()
        self.active = 0
        self.failures = self.ejections = 0
        self.ejected_until = 0.0
        self.probing = False

    def available(self, now: float) -> bool:
        """Say whether requests may go here; of an address whose ejection has ended, one request is the probe."""
        return now >= self.ejected_until and not self.probing

    def succeeded(self) -> None:
        """Note an answer, of whatever status."""
        self.failures = self.ejections = 0
        self.probing = False

    def failed(self, now: float) -> bool:
        """Note a failure; returns True when this ejects the address."""
        # One crash breaks many requests: only what was sent since the last ejection makes the next one longer.
        if now < self.ejected_until:
            return False
        self.failures += 1
        if self.failures < FAILURES and not self.probing:
            return False
        self.ejections += 1
        pause = min(FIRST_EJECTION * 2 ** (self.ejections - 1), LONGEST_EJECTION)
        self.ejected_until = now + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter is no secret
        self.probing = False
        return True

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.fail(UpstreamUnavailable())


class Pool:
    """The connections of one service. One event loop; nothing here may be called from another thread."""

    def __init__(self, name: str, addresses: Sequence[Address], limits: PoolLimits) -> None:
        """Take the service's name and its addresses."""
        self.name, self.addresses, self._limits = name, list(addresses), limits
        self._leaving: list[Address] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.retries = RetryBudget()
        self.on_failure: Callable[[str], None] = lambda _reason: None

    async def acquire(self, *, stream: bool, avoid: bytes = b"") -> "tuple[Address, Connection]":
        """Return a connection of the less loaded of two addresses.

        Raises UpstreamUnavailable when all are ejected, Overloaded when too many wait, Unreachable.
        """
        address = self.choose(avoid)
        if not stream and address.active >= self._limits.connections:
            await self._queue()
            address = self.choose(avoid)
        address.active += 1
        while address.idle:
            connection = address.idle.pop()
            if not connection.closed:
                return address, connection
        try:
            return address, await self._connect(address)
        except BaseException as error:
            self.leave(address)
            if isinstance(error, Unreachable):
                self.note_failure(address, error)
            raise

    def release(self, address: Address, connection: Connection) -> None:
        """Give a connection back: kept when it may be used again, else closed."""
        if connection.reusable and address in self.addresses:
            connection.rest(time.monotonic())
            address.idle.append(connection)
        else:
            connection.abort()
        self.leave(address)

    def note_failure(self, address: Address, failure: Failure) -> None:
        """Count a failure of an address, for its ejection."""
        self.on_failure(type(failure).__name__.lower())
        if address.failed(time.monotonic()):
            log.warning("upstream ejected", upstream=self.name, address=address.authority.decode())

    def sweep(self) -> None:
        """End what is over its deadline, and close what was idle for long."""
        now = time.monotonic()
        self._leaving = [address for address in self._leaving if address.connections]
        for address in (*self.addresses, *self._leaving):
            for connection in list(address.connections):
                if connection.busy and now > connection.deadline:
                    connection.fail(Slow())
                elif not connection.busy and now - connection.idle_since > KEEP_IDLE and connection in address.idle:
                    address.idle.remove(connection)
                    connection.abort()

    def close(self) -> None:
        """Close every connection."""
        for address in (*self.addresses, *self._leaving):
            address.close()

    def replace(self, found: Sequence[Address]) -> None:
        """Take over new addresses; those that stay keep their connections, the others end when they are done."""
        wanted = {address.authority: address for address in found}
        kept = [address for address in self.addresses if address.authority in wanted]
        for address in self.addresses:
            if address.authority not in wanted:
                self._leaving.append(address)
                for connection in address.idle:
                    connection.abort()
        have = {address.authority for address in kept}
        self.addresses = [*kept, *(a for authority, a in wanted.items() if authority not in have)]

    def choose(self, avoid: bytes = b"") -> Address:
        """Return the less loaded of two addresses; raises UpstreamUnavailable when all are ejected."""
        now = time.monotonic()
        candidates = self.addresses
        if len(candidates) == 1:
            first = candidates[0]
            if now < first.ejected_until:
                raise UpstreamUnavailable
        else:
            # A probe may be an answer that takes a minute: with nobody else to ask, nobody waits for it.
            candidates = [a for a in candidates if a.available(now)] or [
                a for a in candidates if now >= a.ejected_until
            ]
            if not candidates:
                raise UpstreamUnavailable
            if avoid and len(candidates) > 1:
                candidates = [a for a in candidates if a.authority != avoid]
            if len(candidates) > 2:  # noqa: PLR2004 - the better of two by chance is nearly the best
                candidates = random.sample(candidates, 2)
            first = min(candidates, key=_load)
        first.probing = first.ejected_until > 0 and first.ejections > 0
        return first

    async def _connect(self, address: Address) -> Connection:
        connection = Connection(lambda lost: self._lost(address, lost))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                await loop.create_connection(lambda: connection, address.host, address.port)
        except (OSError, TimeoutError) as error:
            raise Unreachable(address.authority) from error
        address.connections.add(connection)
        return connection

    @staticmethod
    def _lost(address: Address, connection: Connection) -> None:
        address.connections.discard(connection)
        if not connection.busy and connection in address.idle:
            address.idle.remove(connection)

    async def _queue(self) -> None:
        if len(self._waiting) >= self._limits.queue:
            raise Overloaded
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(QUEUE_TIMEOUT):
                await turn
        except TimeoutError:
            raise Overloaded from None

    def leave(self, address: Address) -> None:
        """Count a request as done, and let the next that waits go on."""
        address.active -= 1
        # It may have been the probe, given up by its client: the next request is one then.
        address.probing = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


class RetryBudget:
    """Retries may be a fifth of the requests of the last seconds, three at least."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock (seconds)."""
        self._clock = clock
        self._since = clock()
        self._requests = self._retries = 0

    def request(self) -> None:
        """Count a request."""
        self._requests += 1

    def take(self) -> bool:
        """Say whether one more retry is within the budget, and count it."""
        now = self._clock()
        if now - self._since > RETRY_WINDOW:
            self._since, self._requests, self._retries = now, self._requests // 2, self._retries // 2
        if self._retries >= max(RETRY_FLOOR, self._requests * RETRY_SHARE):
            return False
        self._retries += 1
        return True


def parse_address(url: str, *, setting: str) -> Address:
    """Return the address of a URL; raises SettingsError unless it is plain HTTP with nothing behind the port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port, parts = None, 80, urlsplit("")
    if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query or parts.username:
        raise SettingsError(f"{setting}: must be addresses like http://host:port")
    return Address(host, port)


def _load(address: Address) -> float:
    return address.active + random.random()  # noqa: S311 - breaks ties
