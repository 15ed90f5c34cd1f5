"""Checks of RabbitMQ: each node of the broker, Parley's queues and the dead letters."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aio_pika import Message
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import AMQPChannelError, AMQPError, ChannelNotFoundEntity

from parley.messaging.bus import DEAD_LETTERS, SERVICE_QUEUES
from parley.process.timeouts import at_most
from parley_cli.diagnosis.findings import Finding, fault, warning
from parley_cli.diagnosis.probes import CALL_TIMEOUT, Probe, Unreachable, reason
from parley_events.connection import OUTAGES, close, connect, refusal, split_urls
from parley_events.topology import queue_depth

MAX_WAITING = 1000
CLOSE_TIMEOUT = 0.5
"""Seconds for the end of the connection, which a blocked broker does not read."""
CONFIRM_SHARE = 0.4
"""Share of the seconds of a check in which the broker has to confirm a message. Otherwise it counts as blocked."""
_LOST = {"rabbitmq_unreachable", "rabbitmq_refused"}
"""Codes of a node that no client can use."""


@dataclass(frozen=True, slots=True)
class ClusterProbe:
    """A check of each node of a cluster, side by side."""

    target: str
    urls: str

    async def findings(self, timeout: float) -> list[Finding]:
        """Check each node within ``timeout`` seconds. One that is lost while another serves is a warning."""
        nodes = [
            Probe(name, "server", "rabbitmq_unreachable", partial(_check_node, self.target, name, url, timeout))
            for name, url in numbered_nodes(self.target, self.urls)
        ]
        return judge_nodes(await asyncio.gather(*(node.findings(timeout) for node in nodes)))


def numbered_nodes(target: str, urls: str) -> list[tuple[str, str]]:
    """Return a name for the URL of each node: the target itself for one, with its place in AMQP_URL for several."""
    try:
        found = split_urls(urls)
    except ValueError:  # the check of the node says so
        found = [urls]
    return [(target if len(found) == 1 else f"{target} node {index}", url) for index, url in enumerate(found, 1)]


def judge_nodes(found: Sequence[list[Finding]]) -> list[Finding]:
    """Return the findings of a cluster from those of its nodes, each of which begins with the one of the server.

    Every node knows the same queues, so those of the first that has answered are enough.
    """
    servers = [each for each, *_ in found]
    if any(server.code == "ok" for server in servers):
        servers = [
            replace(server, status="warning", code="rabbitmq_node_lost") if server.code in _LOST else server
            for server in servers
        ]
    return [*servers, *next((queues for _, *queues in found if queues), [])]


async def _check_node(target: str, node: str, url: str, timeout: float) -> list[Finding]:
    """Check that a node is reachable and takes events, and that somebody reads each queue."""
    began = time.perf_counter()
    connection = await _connect(url)
    latency = (time.perf_counter() - began) * 1000
    try:
        queues = [check_queue(target, queue, await _depth(connection, queue)) for queue in SERVICE_QUEUES]
        dead_letters = check_dead_letters(target, await _depth(connection, DEAD_LETTERS))
        # Last: a broker with an alarm reads nothing more from a connection that has published.
        return [await _broker(node, connection, latency, timeout * CONFIRM_SHARE), *queues, dead_letters]
    finally:
        async with at_most(CLOSE_TIMEOUT):
            await close(connection)


async def _connect(url: str) -> AbstractConnection:
    try:
        split_urls(url)  # refuses an invalid one with a message that does not contain it
        return await connect(url, "parley-doctor", CALL_TIMEOUT)
    except OUTAGES as error:
        if refusal(error):
            raise Unreachable("rabbitmq_refused", f"RabbitMQ refuses the login ({type(error).__name__}).") from None
        raise Unreachable("rabbitmq_unreachable", f"Not reachable: {reason(error)}.") from None
    except ValueError as error:
        raise Unreachable("rabbitmq_unreachable", str(error)) from None
    except (OSError, AMQPError) as error:
        raise Unreachable("rabbitmq_unreachable", f"Not reachable: {reason(error)}.") from None


async def _broker(target: str, connection: AbstractConnection, latency: float, confirm_timeout: float) -> Finding:
    """Publish a message that no queue receives: a broker with a memory or disk alarm does not confirm it."""
    version = server_version(connection)
    facts: dict[str, Any] = {"version": version, "latency_ms": round(latency, 1), "writable": True}
    text = f"RabbitMQ {version}, connected in {latency:.0f} ms."
    try:
        async with at_most(confirm_timeout) as wait:
            channel = await connection.channel()
            await channel.default_exchange.publish(Message(b""), "parley.doctor", mandatory=False)
    except AMQPChannelError:
        facts["writable"] = None  # this user may not publish here, which says nothing about the broker
    if wait.expired:
        facts["writable"] = False
        return fault(target, "server", "rabbitmq_blocked", f"{text} It takes no messages.", **facts)
    return Finding(target, "server", text, facts=facts)


def server_version(connection: AbstractConnection) -> str:
    """Return the version that the broker has told, or a question mark."""
    transport = connection.transport
    found = getattr(getattr(transport, "connection", None), "server_properties", None) or {}
    version = found.get("version", "?")
    return version.decode() if isinstance(version, bytes) else str(version)


async def _depth(connection: AbstractConnection, queue: str) -> tuple[int, int] | None:
    """Return the waiting messages and the consumers of a queue; None if there is no such queue."""
    try:
        found = await queue_depth(connection, queue)
    except ChannelNotFoundEntity:
        return None
    return found.waiting, found.consumers


def check_queue(target: str, queue: str, depth: tuple[int, int] | None) -> Finding:
    """Judge one of Parley's queues by its waiting messages and its consumers."""
    check = f"queue {queue}"
    if depth is None:
        return fault(target, check, "queue_missing", f"The queue {queue} does not exist.")
    waiting, consumers = depth
    facts = {"waiting": waiting, "consumers": consumers}
    text = f"{queue}: {waiting} waiting, {consumers} consumers."
    if not consumers:
        return fault(target, check, "queue_unread", text, **facts)
    if waiting > MAX_WAITING:
        return warning(target, check, "queue_long", text, **facts)
    return Finding(target, check, text, facts=facts)


def check_dead_letters(target: str, depth: tuple[int, int] | None) -> Finding:
    """Judge the dead letters of Parley's own queues."""
    waiting = depth[0] if depth else 0
    text = f"{DEAD_LETTERS}: {waiting} dead letters."
    if waiting:
        return fault(target, "dead letters", "dead_letters", text, waiting=waiting)
    return Finding(target, "dead letters", text, facts={"waiting": 0})
