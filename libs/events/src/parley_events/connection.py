"""Supervised AMQP connection: health checks, and a new connection after each loss."""

import asyncio
import contextlib
import itertools
import logging
import random
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AuthenticationError, ProbableAuthenticationError
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
)

from parley_events.topology import SETUP_TIMEOUT, TopologyError
from parley_events.waiting import at_most

log = logging.getLogger(__name__)

HEARTBEAT = 5
CONNECT_TIMEOUT = 5.0
COMMAND_CONNECT_TIMEOUT = 20.0
"""Seconds to connect for a command, which does not try again, also to a busy host."""
RECONNECT_DELAY = 1.0
TOPOLOGY_RETRY_DELAY = 30.0
"""Seconds before the next attempt after a topology conflict: an operator has to resolve it first."""
LOGIN_RETRY_DELAY = 5.0
"""Seconds before the next attempt after the broker refused the user: somebody has to correct the password."""
HEALTH_CHECK_INTERVAL = 2.0
HEALTH_CHECK_TIMEOUT = 8.0
"""Seconds without an answer after which the broker counts as frozen: earlier than the AMQP heartbeat detects it."""
CLOSE_TIMEOUT = 5.0

OUTAGES: tuple[type[Exception], ...] = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""Errors that aio-pika raises while the broker is down, starting, or frozen, or when it closes the connection."""

LOGIN_REFUSED = (AuthenticationError, ProbableAuthenticationError)
REFUSED = (ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed, ConnectionNotAllowed)
_BETWEEN_URLS = re.compile(r",(?=\s*amqps?://)")

Prepare = Callable[[AbstractConnection], Awaitable[None]]
Connect = Callable[[str, str], Awaitable[AbstractConnection]]


def split_urls(urls: str) -> list[str]:
    """Return the URLs of a cluster's nodes. Raise ValueError, without the URL, if one can never be connected to."""
    found = [url.strip() for url in _BETWEEN_URLS.split(urls)]
    if not all(map(_is_address, found)):
        raise ValueError("The URL of RabbitMQ is invalid. Use amqp://user:password@host:5672/, or amqps:// for TLS.")
    return found


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("amqp", "amqps") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or an IPv6 address is invalid
        return False


class NodeUrls:
    """URLs of a cluster's nodes, separated by commas, in rotation from a random one. A password may contain a comma."""

    def __init__(self, urls: str) -> None:
        found = split_urls(urls)
        first = random.randrange(len(found))  # noqa: S311 - spreads clients over the nodes
        self._urls = itertools.cycle(found[first:] + found[:first])

    def next(self) -> str:
        """Return the URL for the next attempt."""
        return next(self._urls)


async def connect(url: str, name: str, timeout: float = CONNECT_TIMEOUT) -> AbstractConnection:
    """Open a connection within ``timeout`` seconds; ``name`` is shown in the broker's list of connections."""
    async with asyncio.timeout(timeout):
        return await aio_pika.connect(
            url, timeout=timeout, heartbeat=HEARTBEAT, client_properties={"connection_name": name}
        )


async def connect_for_command(urls: str, name: str) -> AbstractConnection:
    """Open a connection for a command, which tries each node of a cluster once and waits longer than a service."""
    *others, last = split_urls(urls)
    for url in others:
        with contextlib.suppress(*OUTAGES):
            return await connect(url, name, COMMAND_CONNECT_TIMEOUT)
    return await connect(last, name, COMMAND_CONNECT_TIMEOUT)


def refusal(error: BaseException) -> str:
    """Return what the broker refuses and what to do, or an empty text for an outage, which passes by itself."""
    if isinstance(error, LOGIN_REFUSED):
        return "RabbitMQ refuses the user or the password. Correct the address, or the user on the broker."
    if isinstance(error, ConnectionNotAllowed):
        return f"RabbitMQ refuses the virtual host: {error}. Correct the address, or the user's permissions."
    if isinstance(error, REFUSED):
        return f"RabbitMQ refuses: {error}. Correct the user's permissions."
    return ""


async def close(connection: AbstractConnection) -> None:
    """Close a connection, which may be broken already."""
    with contextlib.suppress(*OUTAGES):
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await connection.close()


class SupervisedConnection:
    """Keeps one connection to the broker while ``run`` runs.

    ``url`` is one URL, or several separated by commas, one for each node of a cluster: each attempt uses the next.
    ``prepare`` runs on every new connection before ``connection()`` returns it. aio-pika's own recovery
    (``connect_robust``) is not used: consumers have to declare their queues again before they consume, and publishers
    have to know at once that they are disconnected.
    """

    def __init__(self, url: str, *, name: str, prepare: Prepare | None = None, connect: Connect = connect) -> None:
        self._urls, self._name, self._address = NodeUrls(url), name, ""
        self._prepare, self._connect = prepare, connect
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self.is_blocked = False
        """Whether the broker blocks publishers because of its memory or disk alarm."""
        self.down_reason = "not connected yet"
        """Why there is no connection; empty while there is one."""

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._up.is_set()

    async def connection(self) -> AbstractConnection:
        """Return the connection; wait for it without a time limit."""
        while self._connection is None:
            await self._up.wait()
        return self._connection

    async def wait_up(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the connection; return whether there is one."""
        async with at_most(timeout):
            await self._up.wait()
        return self.is_up

    def reset(self) -> None:
        """Replace the connection by a new one."""
        self._lost.set()

    async def run(self) -> None:
        """Connect, and connect again after each loss, until cancelled."""
        try:
            while True:
                await asyncio.sleep(await self._run_once())
        finally:
            await asyncio.gather(*self._closing)

    async def _run_once(self) -> float:
        """Keep one connection until it is lost; return the seconds to wait before the next."""
        try:
            await self._keep()
        except TopologyError as error:
            self.down_reason = str(error)
            log.error("broker_topology_conflict", extra={"connection": self._name, "reason": self.down_reason})  # noqa: TRY400
            return TOPOLOGY_RETRY_DELAY
        except OUTAGES as error:
            self._note_outage(error)
            return LOGIN_RETRY_DELAY if refusal(error) else RECONNECT_DELAY
        except Exception as error:
            self.down_reason = type(error).__name__
            log.exception("broker_connection_failed", extra={"connection": self._name})
        return RECONNECT_DELAY

    def _note_outage(self, error: Exception) -> None:
        refused = refusal(error)
        reason = refused or type(error).__name__
        if reason != self.down_reason and refused:
            log.error("broker_login_refused", extra=self._fields(reason))
        elif reason != self.down_reason:
            log.warning("broker_unreachable", extra=self._fields(reason))
        self.down_reason = reason

    def _fields(self, reason: str) -> dict[str, str]:
        return {"connection": self._name, "address": self._address, "reason": reason}

    async def _keep(self) -> None:
        url = self._urls.next()
        self._address = urlsplit(url).netloc.rpartition("@")[2]
        connection = await self._connect(url, self._name)
        self._lost.clear()
        connection.close_callbacks.add(self._on_close)
        try:
            async with asyncio.timeout(SETUP_TIMEOUT):
                control = await connection.channel()
                if self._prepare is not None:
                    await self._prepare(connection)
            self._connection, self.down_reason = connection, ""
            self._up.set()
            log.info("broker_connected", extra={"connection": self._name})
            await self._check_health(connection, control)
        finally:
            self._connection, self.is_blocked = None, False
            self._up.clear()
            self._close_in_background(connection)

    def _on_close(self, _sender: object, _error: BaseException | None) -> None:
        self._lost.set()

    async def _check_health(self, connection: AbstractConnection, control: AbstractChannel) -> None:
        while not await self._lost_within(HEALTH_CHECK_INTERVAL):
            self.is_blocked = await _is_blocked(connection)
            # A broker that blocks publishers answers nothing on their connection: only the heartbeat can tell.
            if not self.is_blocked:
                async with asyncio.timeout(HEALTH_CHECK_TIMEOUT):
                    await control.set_qos(prefetch_count=1)
        raise ConnectionResetError("connection lost")

    async def _lost_within(self, seconds: float) -> bool:
        async with at_most(seconds):
            await self._lost.wait()
        return self._lost.is_set()

    def _close_in_background(self, connection: AbstractConnection) -> None:
        # Closing waits for a broker that may be frozen; the next connection must not.
        connection.close_callbacks.discard(self._on_close)
        task = asyncio.create_task(_close_quietly(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close_quietly(connection: AbstractConnection) -> None:
    # aiormq may cancel the closing task together with its own.
    with contextlib.suppress(asyncio.CancelledError):
        await close(connection)


async def _is_blocked(connection: AbstractConnection) -> bool:
    if connection.transport is None:
        return False
    async with at_most(0) as wait:
        await connection.transport.ready()
    return wait.expired
