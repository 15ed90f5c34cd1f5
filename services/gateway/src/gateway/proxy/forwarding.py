"""Request forwarding: the forwarded head, endpoint choice, retries, and draining endpoints."""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from gateway.errors import ClientDisconnected, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.http import Receive, connection_options
from gateway.proxy import bodies
from gateway.proxy.bodies import ForwardedBody
from gateway.proxy.headers import request_header_lines
from gateway.request import Request
from gateway.routes import Route
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.failures import (
    ConnectFailed,
    ConnectionBroken,
    EndpointFrozen,
    ResponseTimeout,
    UpstreamFailure,
)
from gateway.upstream.pool import Pool
from parley import errors

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
MAX_PROBLEM = 8192
"""Bytes of the largest 503 response that is examined for the code ``draining``."""
MAX_RETRY_PAUSE = 0.05
"""Maximum pause in seconds before a retry on the only endpoint."""


@dataclass(slots=True)
class ForwardedRequest:
    """A forwarded request whose response head has arrived, and the tasks that still read from the client."""

    pool: Pool
    endpoint: Endpoint
    connection: UpstreamConnection
    tasks: "list[asyncio.Task[None]]"
    ended: BaseException | None = None
    """Why the response is over, before its end: a disconnect, a revocation or a shutdown."""

    def end(self, reason: BaseException) -> None:
        """End the response, also while its stream moves to another connection."""
        if self.ended is None:
            self.ended = reason
        self.connection.fail(reason)

    async def stop_tasks(self) -> None:
        """Stop the tasks. A service that responded before it read the whole body does not get another request."""
        for task in self.tasks:
            if not task.done():
                self.connection.abort()
                task.cancel()
        if self.tasks:
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def release(self, request: Request) -> None:
        """Release the connection, and ignore later disconnects of the client."""
        if request.cycle is not None:
            request.cycle.on_disconnect = None
        self.pool.release(self.endpoint, self.connection)


class RequestForwarder:
    """Forwards requests to the pools of the services."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        self._pools = pools

    async def forward(self, request: Request, route: Route, body: ForwardedBody, receive: Receive) -> ForwardedRequest:
        """Forward a request and wait for the head of the response. Raise ParleyError or ClientDisconnected."""
        pool = self._pools[route.service]
        pool.retries.count_request()
        head = _head(request, route, body)
        avoid: set[bytes] = set()
        while True:
            request.attempts += 1
            endpoint: Endpoint | None = None
            try:
                endpoint, connection = await pool.acquire(stream=route.stream or body.more, avoid=avoid)
                forwarded = ForwardedRequest(pool, endpoint, connection, [])
                await self._send(forwarded, request, route, head, body, receive)
            except UpstreamFailure as failure:
                if not _may_retry(pool, request, route, body, failure):
                    raise to_problem(failure) from None
                if endpoint is not None:
                    avoid.add(endpoint.authority)
                if len(pool.endpoints) == 1:
                    await asyncio.sleep(random.uniform(0, MAX_RETRY_PAUSE))  # noqa: S311 - jitter is no secret
                continue
            if connection.status != errors.Draining.status or body.more or endpoint.authority in avoid:
                return forwarded
            avoid.add(endpoint.authority)
            if not await _is_refused_by_draining(forwarded, request) or not pool.has_other(avoid):
                return forwarded
            # A draining endpoint has not processed the request, so sending it elsewhere is not a retry.
            await forwarded.stop_tasks()
            forwarded.release(request)
            request.attempts -= 1

    async def _send(
        self,
        forwarded: ForwardedRequest,
        request: Request,
        route: Route,
        head: tuple[bytes, bytes],
        body: ForwardedBody,
        receive: Receive,
    ) -> None:
        pool, endpoint, connection = forwarded.pool, forwarded.endpoint, forwarded.connection
        started, cycle = time.perf_counter(), request.cycle
        if cycle is not None:
            cycle.on_disconnect = lambda: forwarded.end(ClientDisconnected())
            if cycle.disconnected:  # it left before the callback was set
                cycle.on_disconnect()
        was_used = connection.received
        try:
            data = head[0] + endpoint.name + head[1]
            repeatable = request.attempts == 1 and is_repeatable(request, route, body)
            connection.start_request(request.method, data, timeout=route.timeout, repeatable=repeatable)
            if body.more:
                forwarded.tasks.append(asyncio.create_task(bodies.stream_rest(connection, route, body, receive)))
            elif cycle is None:
                forwarded.tasks.append(asyncio.create_task(_watch_client(forwarded, receive)))
            await connection.read_head()
        except BaseException as error:
            for task in forwarded.tasks:
                task.cancel()
            await asyncio.gather(*forwarded.tasks, return_exceptions=True)
            if isinstance(error, UpstreamFailure) and not (was_used and _closed_while_idle(error, connection)):
                pool.record_failure(endpoint, error)
            forwarded.release(request)
            raise
        pool.record_response(endpoint, connection)
        request.upstream_time = time.perf_counter() - started


def _head(request: Request, route: Route, body: ForwardedBody) -> tuple[bytes, bytes]:
    """Return the head before and after the value of the Host header, which depends on the endpoint."""
    connection = request.used_headers.get(b"connection", b"close")
    target = request.raw_path + b"?" + request.query if request.query else request.raw_path
    first = b"%b %b HTTP/1.1\r\nhost: " % (request.method.encode(), target)
    options = connection_options(connection)
    pieces = [b"\r\n", *request_header_lines(request.headers, options, browser_session=route.browser_session)]
    pieces += origin_lines(request)
    if route.stream:
        pieces.append(b"x-parley-resumes: 1\r\n")
    pieces += (body.framing, b"\r\n", body.first)
    return first, b"".join(pieces)


def origin_lines(request: Request) -> list[bytes]:
    """Return the header lines that tell a service who sent the request, and through which gateway."""
    node, scheme, host = request.client.node, request.scheme, request.host
    lines = [
        b"x-request-id: %b\r\nvia: 1.1 parley\r\nx-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n"
        b'x-forwarded-host: %b\r\nforwarded: for=%b;host="%b";proto=%b\r\n'
        % (request.request_id.encode(), request.client.text.encode(), scheme, host, node, host, scheme)
    ]
    traceparent = request.traceparent()
    if traceparent is not None:
        lines.append(b"traceparent: %b\r\n" % traceparent)
    if request.caller is not None:
        lines.append(request.caller.authorization)
    return lines


async def _is_refused_by_draining(forwarded: ForwardedRequest, request: Request) -> bool:
    """Return whether a 503 means that the endpoint is shutting down. The response can still be relayed."""
    try:
        body = await forwarded.connection.peek_body(max_bytes=MAX_PROBLEM)
    except BaseException:
        await forwarded.stop_tasks()
        forwarded.release(request)
        raise
    if not _is_draining_problem(body):
        return False
    forwarded.pool.record_draining(forwarded.endpoint)
    return True


def _is_draining_problem(body: bytes | None) -> bool:
    try:
        problem = orjson.loads(body or b"null")
    except orjson.JSONDecodeError:
        return False
    if isinstance(problem, dict) and isinstance(problem.get("error"), dict):
        problem = problem["error"]  # problems and OpenAI's format have it
    return isinstance(problem, dict) and problem.get("code") == errors.Draining.code


def _may_retry(pool: Pool, request: Request, route: Route, body: ForwardedBody, failure: UpstreamFailure) -> bool:
    if request.attempts > 1 or isinstance(failure, ResponseTimeout):
        return False
    if isinstance(failure, ConnectFailed):
        return pool.retries.take()
    if isinstance(failure, EndpointFrozen):
        return failure.retry
    return is_repeatable(request, route, body) and pool.retries.take()


def is_repeatable(request: Request, route: Route, body: ForwardedBody) -> bool:
    """Return whether a request may be sent twice: by its method, or by its key."""
    key, used = b"idempotency-key", request.used_headers
    # A key that is named as an option of the connection is not sent on.
    keyed = route.keyed and key in used and key not in connection_options(used.get(b"connection", b"close"))
    return (keyed or request.method in IDEMPOTENT_METHODS) and not body.more


def _closed_while_idle(failure: UpstreamFailure, connection: UpstreamConnection) -> bool:
    """Return whether a reused connection was closed before it carried the request: not a failure of the endpoint."""
    return isinstance(failure, ConnectionBroken) and not connection.received


async def _watch_client(forwarded: ForwardedRequest, receive: Receive) -> None:
    """Wait for the client's disconnect on ASGI servers without the disconnect callback."""
    while (await receive())["type"] != "http.disconnect":
        pass
    forwarded.end(ClientDisconnected())


def to_problem(failure: UpstreamFailure) -> errors.ParleyError:
    """Return the error that the client receives for a failure."""
    if isinstance(failure, (ConnectFailed, EndpointFrozen)):
        return UpstreamUnavailable()
    return UpstreamTimeout() if isinstance(failure, ResponseTimeout) else UpstreamBroken()
