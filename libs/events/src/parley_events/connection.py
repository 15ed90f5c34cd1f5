"""One supervised AMQP connection: made, watched, and made again whenever it breaks."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog
from aio_pika import connect
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from pamqp.exceptions import PAMQPException

from parley_events.topology import SETUP_TIMEOUT, TopologyError

log = structlog.get_logger()

HEARTBEAT = 5
CONNECT_TIMEOUT = 5.0
RECONNECT = 1.0
"""Seconds between two attempts to connect."""
CONFLICT_PAUSE = 30.0
"""Seconds between two attempts when the broker's topology is in the way: somebody has to act first."""
WATCH = 2.0
ROUND_TRIP = 8.0
"""Seconds for an answer, after which a broker counts as frozen: with ``WATCH`` well below the heartbeat's verdict."""
CLOSE_TIMEOUT = 5.0

OUTAGES: tuple[type[Exception], ...] = (*CONNECTION_EXCEPTIONS, TimeoutError, PAMQPException)
"""What aio-pika raises when the broker is away, starting, frozen or hangs up."""

Prepare = Callable[[AbstractConnection], Awaitable[None]]


class Link:
    """Keeps one connection to the broker; run ``run`` in the background.

    ``prepare`` is called on every new connection before anybody else gets it.
    """

    def __init__(self, url: str, *, name: str, prepare: Prepare) -> None:
        """Take the broker's URL and the name the connection has in the broker's own lists."""
        self._url, self._name, self._prepare = url, name, prepare
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self.blocked = False
        """Whether the broker refuses publishers because of its memory or disk alarm."""
        self.trouble = "not connected yet"
        """Why there is no connection."""

    @property
    def is_up(self) -> bool:
        """Say whether there is a connection that answers."""
        return self._up.is_set()

    async def connection(self) -> AbstractConnection:
        """Wait for the connection, however long it takes."""
        while self._connection is None:
            await self._up.wait()
        return self._connection

    async def wait_up(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the connection; return whether it is there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._up.wait()
        return self.is_up

    def drop(self) -> None:
        """Give the connection up: something on it is broken."""
        self._lost.set()

    async def run(self) -> None:
        """Connect again and again; never returns."""
        try:
            while True:
                await asyncio.sleep(await self._once())
        finally:
            await asyncio.gather(*self._closing)

    async def _once(self) -> float:
        """Hold one connection until it breaks; return the pause before the next."""
        try:
            await self._hold()
        except TopologyError as error:
            self.trouble = str(error)
            log.error("broker topology", connection=self._name, reason=self.trouble)  # noqa: TRY400 - a plain line
            return CONFLICT_PAUSE
        except OUTAGES as error:
            self._note(error)
        return RECONNECT

    def _note(self, error: Exception) -> None:
        reason = type(error).__name__
        if reason != self.trouble:
            log.warning("broker cannot be reached", connection=self._name, reason=reason)
        self.trouble = reason

    async def _hold(self) -> None:
        connection = await self._connect()
        self._lost.clear()
        connection.close_callbacks.add(self._on_close)
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                control = await connection.channel()
                await self._prepare(connection)
            self._connection, self.trouble = connection, ""
            self._up.set()
            log.info("broker connected", connection=self._name)
            await self._watch(connection, control)
        finally:
            self._connection, self.blocked = None, False
            self._up.clear()
            self._retire(connection)

    async def _connect(self) -> AbstractConnection:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            return await connect(
                self._url,
                timeout=CONNECT_TIMEOUT,
                heartbeat=HEARTBEAT,
                client_properties={"connection_name": self._name},
            )

    def _on_close(self, _sender: object, _error: BaseException | None) -> None:
        self._lost.set()

    async def _watch(self, connection: AbstractConnection, control: AbstractChannel) -> None:
        """Return when the connection breaks; raises TimeoutError when the broker stops answering."""
        while not await self._lost_within(WATCH):
            self.blocked = await is_blocked(connection)
            # A broker that blocks publishers answers nothing on their connection: there the heartbeat decides.
            if not self.blocked:
                async with asyncio.timeout(ROUND_TRIP):
                    await control.set_qos(prefetch_count=1)
        raise ConnectionResetError("connection lost")

    async def _lost_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._lost.wait()
        return self._lost.is_set()

    def _retire(self, connection: AbstractConnection) -> None:
        # Closing waits for a broker that may be frozen: meanwhile the next connection is made.
        connection.close_callbacks.discard(self._on_close)
        task = asyncio.create_task(_close(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def is_blocked(connection: AbstractConnection) -> bool:
    """Say whether the broker has told this connection to stop publishing."""
    if connection.transport is None:
        return False
    try:
        async with asyncio.timeout(0):
            await connection.transport.ready()
    except TimeoutError:
        return True
    return False


async def _close(connection: AbstractConnection) -> None:
    with contextlib.suppress(*OUTAGES, asyncio.CancelledError):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()
