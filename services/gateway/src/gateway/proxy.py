"""Passing a request on: streamed both ways, nothing kept, and an upstream that stops with its client."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from gateway import bodies, compression, sse
from gateway.bodies import Body, Receive
from gateway.connection import BODILESS, Broken, Connection, Failure, Slow, Unreachable
from gateway.errors import ClientGone, Interrupted, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.headers import Header, RequestFilter, ResponseFilter, nominated
from gateway.replica import Address
from gateway.request import Request
from gateway.routes import Route
from gateway.streams import Stream, Streams
from gateway.upstream import Pool
from parley import errors

Send = Callable[[Any], Awaitable[None]]
Respond = Callable[[Request, list[Header]], list[Header]]

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
USUAL = frozenset({b"keep-alive", b"close"})
NOTHING: frozenset[bytes] = frozenset()
ONE_WRITE, PIECE = 262_144, 65_536
"""Bytes up to which an answer is one write, and of each piece of a longer one, which waits for a slow reader."""
UNAVAILABLE, PROBLEM = errors.Draining.status, 8192
"""The status with which a replica says that it shuts down, and the most bytes it needs to say so."""
RETRY_PAUSE = 0.05
"""Longest pause (seconds) before the one retry, when there is no other address."""


class Proxy:
    """Forwards to the pools of the services."""

    def __init__(self, pools: Mapping[str, Pool], streams: Streams, respond: Respond, *, idle_timeout: float) -> None:
        """Take what completes an answer's headers, and the seconds an upstream may be silent inside an answer."""
        self._pools, self._streams, self._respond, self._idle = pools, streams, respond, idle_timeout
        self._requests, self._responses = RequestFilter(), ResponseFilter()

    async def forward(self, request: Request, route: Route, receive: Receive, send: Send) -> None:
        """Pass a request on and its answer back; raises ParleyError before the answer began, ClientGone."""
        body = await bodies.begin(request, route, receive)
        head = self._head(request, body)
        pool = self._pools[route.service]
        pool.retries.request()
        address, connection, helpers = await self._ask(pool, request, route, head, body, receive)
        headers = self._responses.pairs(connection.headers, _nominated(connection.headers))
        if connection.reusable and not helpers:
            status, data = connection.status, connection.take()
            _let_go(request, pool, address, connection)
            await self._send_whole(request, status, headers, data, send)
            return
        pool.free_slot(address, connection)
        try:
            if _is_stream(headers):
                await self._send_stream(request, route, connection, headers, send)
            else:
                await self._send_pieces(request, connection, headers, send)
        finally:
            await _end(helpers, connection)
            _let_go(request, pool, address, connection)

    # Towards the upstream.

    def _head(self, request: Request, body: Body) -> tuple[bytes, bytes]:
        connection = request.found.get(b"connection")
        target = request.raw_path + b"?" + request.query if request.query else request.raw_path
        first = b"%b %b HTTP/1.1\r\nhost: " % (request.method.encode(), target)
        pieces = [
            b"\r\n",
            *self._requests.lines(
                request.headers, nominated(connection) if connection and connection.lower() not in USUAL else NOTHING
            ),
        ]
        node, scheme, host = request.client.node, request.scheme, request.host
        pieces.append(
            b"x-request-id: %b\r\nvia: 1.1 parley\r\nx-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n"
            b'x-forwarded-host: %b\r\nforwarded: for=%b;host="%b";proto=%b\r\n'
            % (request.request_id.encode(), request.client.text.encode(), scheme, host, node, host, scheme)
        )
        pieces.append(b"traceparent: %b\r\n" % request.traceparent())
        if request.caller is not None:
            pieces.append(request.caller.authorization)
        pieces += (body.framing, b"\r\n", body.first)
        return first, b"".join(pieces)

    async def _ask(
        self, pool: Pool, request: Request, route: Route, head: tuple[bytes, bytes], body: Body, receive: Receive
    ) -> "tuple[Address, Connection, list[asyncio.Task[None]]]":
        avoid: set[bytes] = set()
        while True:
            request.attempts += 1
            address: Address | None = None
            try:
                address, connection = await pool.acquire(stream=route.stream or body.more, avoid=avoid)
                helpers = await self._send_request(connection, address, request, route, head, body, receive)
            except Failure as failure:
                if not self._may_retry(pool, request, body, failure):
                    raise _error(failure) from None
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
            await _end(helpers, connection)
            _let_go(request, pool, address, connection)
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
        loop = asyncio.get_running_loop()
        if body.more:
            return [loop.create_task(bodies.pump(connection, route, body, receive))]
        if request.exchange is None:
            return [loop.create_task(_watch_client(connection, receive))]
        return []

    @staticmethod
    async def _drains(
        pool: Pool, request: Request, address: Address, connection: Connection, helpers: "list[asyncio.Task[None]]"
    ) -> bool:
        """Say whether a 503 means that this replica shuts down; its body stays to be read."""
        try:
            answer = await connection.whole(most=PROBLEM)
        except BaseException:
            await _end(helpers, connection)
            _let_go(request, pool, address, connection)
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

    # Back to the client.

    async def _send_whole(self, request: Request, status: int, headers: list[Header], data: bytes, send: Send) -> None:
        if len(data) >= compression.LEAST and compression.wanted(request, status, headers):
            data, headers = compression.whole(data, headers)
        if status not in BODILESS and request.method != "HEAD" and not any(n == b"content-length" for n, _ in headers):
            headers.append((b"content-length", b"%d" % len(data)))
        request.status, request.sent = status, len(data)
        await send_whole(request, status, self._respond(request, headers), data, send)

    async def _send_pieces(self, request: Request, connection: Connection, headers: list[Header], send: Send) -> None:
        compress: compression.Compressor | None = None
        if compression.wanted(request, connection.status, headers):
            compress, headers = compression.pieces(headers)
        request.status = connection.status
        await send(
            {"type": "http.response.start", "status": request.status, "headers": self._respond(request, headers)}
        )
        try:
            while await self._send_piece(request, connection, compress, send):
                pass
        except Failure:
            if request.exchange is None:
                raise
            request.exchange.abort()  # a cut answer must not look like a whole one

    async def _send_piece(
        self, request: Request, connection: Connection, compress: compression.Compressor | None, send: Send
    ) -> bool:
        """Send what has come; say whether more follows. Nothing is taken from the upstream before it can be sent."""
        if request.exchange is not None:
            await request.exchange.writable()
        data = await connection.read(idle=self._idle)
        more = not connection.complete
        if compress is not None:
            data = compress.feed(data) if more else compress.finish(data)
        request.sent += len(data)
        if data or not more:
            await send({"type": "http.response.body", "body": data, "more_body": more})
        return more

    async def _send_stream(
        self, request: Request, route: Route, connection: Connection, headers: list[Header], send: Send
    ) -> None:
        if not any(name == b"x-accel-buffering" for name, _ in headers):
            headers.append((b"x-accel-buffering", b"no"))
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        request.status = connection.status
        await send(
            {"type": "http.response.start", "status": request.status, "headers": self._respond(request, headers)}
        )
        session = request.caller.session if request.caller else None
        cutter, last = sse.EventCutter(), b""
        openai = route.template.startswith("/v1/")
        with self._streams.opened(Stream(session, route.endless, connection.fail)):
            try:
                while await self._send_events(request, connection, cutter, send):
                    pass
                last = cutter.rest()
            except Interrupted as reason:
                last = sse.last_word(reason, openai=openai)
            except Failure as failure:
                last = sse.last_word(_error(failure), openai=openai)
        request.sent += len(last)
        await send({"type": "http.response.body", "body": last if cutter.clean else b"", "more_body": False})

    async def _send_events(self, request: Request, connection: Connection, cutter: sse.EventCutter, send: Send) -> bool:
        """Send the events that are whole; say whether more may follow."""
        if request.exchange is not None:
            await request.exchange.writable()
        data = await connection.read(idle=self._idle)
        whole = cutter.feed(data) if data else b""
        if whole:
            request.sent += len(whole)
            await send({"type": "http.response.body", "body": whole, "more_body": True})
        return bool(data)


async def send_whole(request: Request, status: int, headers: list[Header], body: bytes, send: Send) -> None:
    """Send a whole answer: in one write where the server can."""
    if (
        request.exchange is not None
        and len(body) <= ONE_WRITE
        and any(name == b"content-length" for name, _ in headers)
    ):
        await request.exchange.respond(status, headers, body)
        return
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for start in range(0, 0 if request.method == "HEAD" else len(body), PIECE):
        await send({"type": "http.response.body", "body": body[start : start + PIECE], "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _let_go(request: Request, pool: Pool, address: Address, connection: Connection) -> None:
    if request.exchange is not None:
        request.exchange.on_gone = None
    pool.release(address, connection)


async def _end(helpers: "list[asyncio.Task[None]]", connection: Connection) -> None:
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


def _nominated(headers: list[Header]) -> frozenset[bytes]:
    for name, value in headers:
        if name == b"connection" and value.lower() not in USUAL:
            return nominated(value)
    return NOTHING


def _is_stream(headers: list[Header]) -> bool:
    return any(name == b"content-type" and value.startswith(sse.MEDIA_TYPE) for name, value in headers)


def _is_draining(answer: bytes | None) -> bool:
    try:
        problem = orjson.loads(answer or b"null")
    except orjson.JSONDecodeError:
        return False
    return isinstance(problem, dict) and problem.get("code") == errors.Draining.code


def _error(failure: Failure) -> errors.ParleyError:
    if isinstance(failure, Unreachable):
        return UpstreamUnavailable()
    return UpstreamTimeout() if isinstance(failure, Slow) else UpstreamBroken()
