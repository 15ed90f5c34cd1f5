"""The pool of connections to the replicas of one service: which to ask, which to leave alone, how many at once."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from gateway.errors import UpstreamUnavailable
from gateway.upstream.connection import READ, Connection, Failure, Slow, Unreachable
from gateway.upstream.endpoint import Address
from gateway.upstream.retry_budget import RetryBudget
from parley.errors import Overloaded

log = structlog.get_logger()

SWEEP = 0.1
"""Seconds between two looks at deadlines."""
KEEP_IDLE = 30.0
"""Seconds a connection may be idle: less than the services keep theirs, so that they never close first."""
QUEUE_TIMEOUT = 1.0
CONNECT_PATIENCE = 2
"""How many times the seconds to connect may have passed when one more address is tried."""


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How many requests may wait for one address to answer, how many for their turn, and the seconds to connect."""

    connections: int = 512
    queue: int = 512
    connect_timeout: float = 1.0


class Pool:
    """The connections of one service. One event loop; nothing here may be called from another thread."""

    def __init__(self, name: str, addresses: Sequence[Address], limits: PoolLimits) -> None:
        """Take the service's name and its addresses."""
        self.name, self.addresses, self._limits = name, list(addresses), limits
        self._leaving: list[Address] = []
        self._space = bytearray(READ)
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.retries = RetryBudget()
        self.on_failure: Callable[[str], None] = lambda _reason: None
        self.on_ejection: Callable[[], None] = lambda: None

    async def acquire(self, *, stream: bool, avoid: Collection[bytes] = ()) -> tuple[Address, Connection]:
        """Return a connection of the less loaded of two addresses, of those to ``avoid`` only when there is no other.

        One that cannot be reached was sent nothing, so the others are tried: that is no retry, and costs no budget.
        Raises UpstreamUnavailable when all are ejected, Overloaded when too many wait, Unreachable.
        """
        tried: set[bytes] = set()
        patience = time.monotonic() + CONNECT_PATIENCE * self._limits.connect_timeout
        while True:
            address = self.choose(avoid, tried)
            if not stream and address.slots >= self._limits.connections:
                await self._queue()
                address = self.choose(avoid, tried)
            try:
                return address, await self._take(address, slot=not stream)
            except Unreachable:
                tried.add(address.authority)
                if not self._candidates(avoid, tried) or time.monotonic() > patience:
                    raise

    async def _take(self, address: Address, *, slot: bool) -> Connection:
        """Return a connection to an address: an idle one that is still open, else a new one."""
        address.active += 1
        address.slots += slot
        while address.idle:
            connection = address.idle.pop()
            if connection.usable():
                connection.slot = slot
                return connection
            connection.abort()
        try:
            connection = await self._connect(address)
        except BaseException as error:
            if isinstance(error, Unreachable):
                self.note_failure(address, error)
            self._free(address, slot=slot)
            self.leave(address)
            raise
        connection.slot = slot
        return connection

    def release(self, address: Address, connection: Connection) -> None:
        """Give a connection back: kept when it may be used again, else closed."""
        now = time.monotonic()
        if connection.reusable and address in self.addresses and not address.closing(now):
            connection.rest(now)
            address.idle.append(connection)
        else:
            connection.abort()
        self.free_slot(address, connection)
        self.leave(address)

    def free_slot(self, address: Address, connection: Connection) -> None:
        """Let the next that waits go on: from here on the client, not the upstream, decides how long this takes."""
        self._free(address, slot=connection.slot)
        connection.slot = False

    def note_failure(self, address: Address, failure: Failure) -> None:
        """Count a failure of an address, for its ejection."""
        self.on_failure(type(failure).__name__.lower())
        if address.failed(time.monotonic(), failure):
            log.warning("upstream ejected", upstream=self.name, address=address.authority.decode())
            self.on_ejection()

    def note_answer(self, address: Address, connection: Connection) -> None:
        """Note that an answer began; one that ends its connection says that its sender is shutting down."""
        address.succeeded()
        if connection.last:
            self.note_draining(address)

    def note_draining(self, address: Address) -> None:
        """Ask others from now on: this address is shutting down."""
        address.forget_idle()
        if address.drains(time.monotonic()):
            log.info("upstream drains", upstream=self.name, address=address.authority.decode())
            self.on_ejection()

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
                address.forget_idle()
        have = {address.authority for address in kept}
        self.addresses = [*kept, *(a for authority, a in wanted.items() if authority not in have)]

    def choose(self, avoid: Collection[bytes] = (), tried: Collection[bytes] = ()) -> Address:
        """Return the less loaded of two addresses; raises UpstreamUnavailable when all are ejected."""
        if len(self.addresses) == 1 and not tried and not self.addresses[0].ejected_until:
            return self.addresses[0]
        candidates = self._candidates(avoid, tried)
        if not candidates:
            raise UpstreamUnavailable
        if len(candidates) > 2:  # noqa: PLR2004 - the better of two by chance is nearly the best
            candidates = random.sample(candidates, 2)
        first = min(candidates, key=_load)
        first.probing = first.ejected_until > 0 and first.ejections > 0
        return first

    def has_other(self, than: Collection[bytes]) -> bool:
        """Say whether somebody else may be asked."""
        return bool(self._candidates((), than))

    def _candidates(self, avoid: Collection[bytes], tried: Collection[bytes]) -> list[Address]:
        now = time.monotonic()
        left = [a for a in self.addresses if a.authority not in tried] if tried else self.addresses
        # A probe may be an answer that takes a minute: with nobody else to ask, nobody waits for it.
        ready = [a for a in left if a.available(now)] or [a for a in left if now >= a.ejected_until]
        if ready and not avoid:
            return ready
        # One that refused may be back, and if not, it costs nothing to learn that.
        gone = [a for a in left if a.gone]
        others = ([a for a in found if a.authority not in avoid] for found in (ready, gone))
        return next((found for found in (*others, ready, gone) if found), [])

    async def _connect(self, address: Address) -> Connection:
        connection = Connection(lambda lost: self._lost(address, lost), self._space)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.connect_timeout):
                await loop.create_connection(lambda: connection, address.host, address.port)
        except (OSError, TimeoutError) as error:
            raise Unreachable(refused=isinstance(error, ConnectionRefusedError)) from error
        address.connections.add(connection)
        address.reached()
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
        """Count a request as done."""
        address.active -= 1
        # It may have been the probe, given up by its client: the next request is one then.
        address.probing = False

    def _free(self, address: Address, *, slot: bool) -> None:
        address.slots -= slot
        while slot and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def _load(address: Address) -> float:
    return address.active + random.random()  # noqa: S311 - breaks ties
