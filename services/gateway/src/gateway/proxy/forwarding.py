"""Asking an upstream: the request as it is passed on, to whom, and to whom next when the first does not answer."""

import asyncio
import random
import time
from collections.abc import Mapping

import orjson

from gateway.errors import ClientGone, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.proxy import bodies
from gateway.proxy.bodies import Body, Receive
from gateway.proxy.headers import RequestFilter, nominated
from gateway.request import Request
from gateway.routes import Route
from gateway.upstream.connection import Broken, Connection, Failure, Slow, Unreachable
from gateway.upstream.endpoint import Address
from gateway.upstream.pool import Pool
from parley import errors

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
UNAVAILABLE, PROBLEM = errors.Draining.status, 8192
"""The status with which a replica says that it shuts down, and the most bytes it needs to say so."""
RETRY_PAUSE = 0.05
"""Longest pause (seconds) before the one retry, when there is no other address."""
Asked = tuple[Address, Connection, "list[asyncio.Task[None]]"]
"""Who answers, over which connection, and the tasks that go on beside the answer."""


class Asking:
    """Asks the services' pools."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        """Take the pools by service."""
        self._pools, self._requests = pools, RequestFilter()

    async def ask(self, request: Request, route: Route, body: Body, receive: Receive) -> Asked:
        """Pass a request on and wait for the head of an answer; raises ParleyError when there is none, ClientGone."""
        pool = self._pools[route.service]
        pool.retries.request()
        return await self._ask(pool, request, route, self._head(request, body), body, receive)

    def _head(self, request: Request, body: Body) -> tuple[bytes, bytes]:
        connection = request.found.get(b"connection", b"close")
        target = request.raw_path + b"?" + request.query if request.query else request.raw_path
        first = b"%b %b HTTP/1.1\r\nhost: " % (request.method.encode(), target)
        pieces = [
            b"\r\n",
            *self._requests.lines(request.headers, nominated(connection)),
        ]
        node, scheme, host = request.client.node, request.scheme, request.host
        pieces.append(
            b"x-request-id: %b\r\nvia: 1.1 parley\r\nx-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n"
            b'x-forwarded-host: %b\r\nforwarded: for=%b;host="%b";proto=%b\r\n'
            % (request.request_id.encode(), request.client.text.encode(), scheme, host, node, host, scheme)
        )
        traceparent = request.traceparent()
        if traceparent is not None:
            pieces.append(b"traceparent: %b\r\n" % traceparent)
        if request.caller is not None:
            pieces.append(request.caller.authorization)
        pieces += (body.framing, b"\r\n", body.first)
        return first, b"".join(pieces)

    async def _ask(
        self, pool: Pool, request: Request, route: Route, head: tuple[bytes, bytes], body: Body, receive: Receive
    ) -> Asked:
        avoid: set[bytes] = set()
        while True:
            request.attempts += 1
            address: Address | None = None
            try:
                address, connection = await pool.acquire(stream=route.stream or body.more, avoid=avoid)
                helpers = await self._send_request(connection, address, request, route, head, body, receive)
            except Failure as failure:
                if not self._may_retry(pool, request, body, failure):
                    raise as_error(failure) from None
                if address is not None:
                    avoid.add(address.authority)
                if len(pool.addresses) == 1:
                    await asyncio.sleep(random.uniform(0, RETRY_PAUSE))  # noqa: S311 - jitter is no secret
                continue
            if connection.status != UNAVAILABLE or body.more or address.authority in avoid:
                return address, connection, helpers
            avoid.add(address.authority)
            drains = await self._drains(pool, request, address, connection, helpers)
            if not drains or not pool.has_other(avoid):
                return address, connection, helpers
            # It shuts down and carried nothing out: asking the next is no retry.
            await end(helpers, connection)
            let_go(request, pool, address, connection)
            request.attempts -= 1

    async def _send_request(
        self,
        connection: Connection,
        address: Address,
        request: Request,
        route: Route,
        head: tuple[bytes, bytes],
        body: Body,
        receive: Receive,
    ) -> "list[asyncio.Task[None]]":
        pool, began = self._pools[route.service], time.perf_counter()
        exchange = request.exchange
        if exchange is not None:
            exchange.on_gone = lambda: connection.fail(ClientGone())
        helpers: list[asyncio.Task[None]] = []
        try:
            stale = connection.received
            connection.start(request.method, head[0] + address.name + head[1], timeout=route.timeout)
            helpers = self._help(connection, request, route, body, receive)
            await connection.head()
        except BaseException as error:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            if exchange is not None:
                exchange.on_gone = None
            if isinstance(error, Failure) and not (stale and isinstance(error, Broken) and not connection.received):
                pool.note_failure(address, error)
            pool.release(address, connection)
            raise
        pool.note_answer(address, connection)
        request.upstream_time = time.perf_counter() - began
        return helpers

    def _help(
        self, connection: Connection, request: Request, route: Route, body: Body, receive: Receive
    ) -> "list[asyncio.Task[None]]":
        if body.more:
            return [asyncio.create_task(bodies.pump(connection, route, body, receive))]
        if request.exchange is None:
            return [asyncio.create_task(_watch_client(connection, receive))]
        return []

    @staticmethod
    async def _drains(
        pool: Pool, request: Request, address: Address, connection: Connection, helpers: "list[asyncio.Task[None]]"
    ) -> bool:
        """Say whether a 503 means that this replica shuts down; its body stays to be read."""
        try:
            answer = await connection.whole(most=PROBLEM)
        except BaseException:
            await end(helpers, connection)
            let_go(request, pool, address, connection)
            raise
        if not _is_draining(answer):
            return False
        pool.note_draining(address)
        return True

    @staticmethod
    def _may_retry(pool: Pool, request: Request, body: Body, failure: Failure) -> bool:
        if request.attempts > 1 or isinstance(failure, Slow):
            return False
        if isinstance(failure, Unreachable):
            return pool.retries.take()
        repeatable = request.method in IDEMPOTENT or b"idempotency-key" in request.found
        return repeatable and not body.more and pool.retries.take()


def let_go(request: Request, pool: Pool, address: Address, connection: Connection) -> None:
    """Give the connection back; the client's leaving is nobody's business any more."""
    if request.exchange is not None:
        request.exchange.on_gone = None
    pool.release(address, connection)


async def end(helpers: "list[asyncio.Task[None]]", connection: Connection) -> None:
    """End what helped; an upstream that answered before it had the whole body is not used again."""
    for helper in helpers:
        if not helper.done():
            connection.abort()
            helper.cancel()
    if helpers:
        await asyncio.gather(*helpers, return_exceptions=True)


async def _watch_client(connection: Connection, receive: Receive) -> None:
    """Notice that the client went away, on servers that do not tell."""
    while (await receive())["type"] != "http.disconnect":
        pass
    connection.fail(ClientGone())


def _is_draining(answer: bytes | None) -> bool:
    try:
        problem = orjson.loads(answer or b"null")
    except orjson.JSONDecodeError:
        return False
    return isinstance(problem, dict) and problem.get("code") == errors.Draining.code


def as_error(failure: Failure) -> errors.ParleyError:
    """Return what a client is told of a failure."""
    if isinstance(failure, Unreachable):
        return UpstreamUnavailable()
    return UpstreamTimeout() if isinstance(failure, Slow) else UpstreamBroken()
