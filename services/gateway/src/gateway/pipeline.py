"""Request pipeline, in order: local response, route, access policy, proxy, and the records of the request."""

import asyncio
import contextlib
import re
import time
from typing import Any

import structlog
from prometheus_client import Histogram

from gateway.access.client_addresses import ClientAddresses
from gateway.access.cors import Cors
from gateway.access.policy import AccessPolicy
from gateway.access.streams import OpenStreams
from gateway.errors import ClientDisconnected, UpgradeRequired
from gateway.http import Receive, Send
from gateway.local.responses import LocalResponses
from gateway.observability.access_log import AccessLog
from gateway.observability.request_trace import RequestTrace, start_trace
from gateway.proxy.http_proxy import HttpProxy
from gateway.proxy.websocket import WebSocketProxy, offered_token
from gateway.request import Request
from gateway.route_table import RouteTable
from parley import errors
from parley.errors import ParleyError
from parley.observability.metrics import Metrics
from parley.observability.tracing import Tracer
from parley.process.tasks import is_cancelled
from parley.web.lifecycle import Lifecycle
from parley.web.middleware import PROBE_ROUTES

log = structlog.get_logger()

SINGLE_HEADERS = frozenset({b"idempotency-key", b"origin"})
"""Headers that the gateway and a service or a browser read. Of repeated ones, each could use another."""
MAX_PARAMETERS = 200
"""Parameters of a query string. A service takes milliseconds for a thousand of them."""
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,255}\Z")
CLIENT_CLOSED_REQUEST = 499
"""The status, as in nginx, under which a request is logged when its client disconnects before the response."""


class Pipeline:
    """Passes requests through the stages of the gateway."""

    def __init__(
        self,
        *,
        addresses: ClientAddresses,
        local: LocalResponses,
        routes: RouteTable,
        policy: AccessPolicy,
        streams: OpenStreams,
        proxy: HttpProxy,
        websockets: WebSocketProxy,
        cors: Cors,
        access_log: AccessLog | None,
        metrics: Metrics,
        lifecycle: Lifecycle,
        tracer: Tracer | None,
        drain_delay: float,
    ) -> None:
        self._addresses, self._local, self._routes = addresses, local, routes
        self._policy, self._streams, self._cors = policy, streams, cors
        self._proxy, self._websockets = proxy, websockets
        self._access_log, self._metrics, self._tracer = access_log, metrics, tracer
        self._lifecycle, self._drain_delay = lifecycle, drain_delay
        self._draining_since: float | None = None
        self._durations: dict[tuple[str, str, int], Histogram] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        request = Request(scope)
        self._addresses.locate(request)
        if self._tracer is not None and request.path not in PROBE_ROUTES:
            request.trace = _start_trace(self._tracer, request)
        self._lifecycle.begin_request()
        try:
            await self._respond(request, receive, send)
        except ClientDisconnected:
            request.status = request.status or CLIENT_CLOSED_REQUEST
        except (Exception, asyncio.CancelledError) as error:
            _raise_cancellation(error)
            log.exception("unhandled_error", request_id=request.request_id)
            await self._local.send_error(request, errors.InternalError(), send)
        finally:
            self._lifecycle.end_request()
            self._record(request)

    async def websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        """Handle one WebSocket."""
        scope = {**scope, "method": "GET"}
        request = Request(scope)
        self._addresses.locate(request)
        if self._tracer is not None:
            request.trace = _start_trace(self._tracer, request)
        with self._lifecycle.request():
            try:
                await self._respond_websocket(request, scope, receive, send)
            except ClientDisconnected:
                request.status = request.status or CLIENT_CLOSED_REQUEST
            except (Exception, asyncio.CancelledError) as error:
                _raise_cancellation(error)
                log.exception("unhandled_error", request_id=request.request_id)
                with contextlib.suppress(ClientDisconnected):
                    await self._local.reject_websocket(request, errors.InternalError(), scope["subprotocols"], send)
            finally:
                self._record(request)

    async def count_unparsed(self, peer: str, forwarded_for: str) -> ParleyError | None:
        """Count a request that the server refused. Return the error if its address is over the limit.

        The address of a trusted proxy stands for all of its clients, so it is not counted.
        """
        client = self._addresses.client(peer, forwarded_for)
        return None if self._addresses.trusts(client.text) else await self._policy.count_unparsed(client)

    async def _respond(self, request: Request, receive: Receive, send: Send) -> None:
        try:
            await self._handle(request, receive, send)
        except ParleyError as error:
            await self._local.send_error(request, await self._policy.count_refused(request, error), send)

    async def _respond_websocket(self, request: Request, scope: Any, receive: Receive, send: Send) -> None:
        try:
            await self._handle_websocket(request, scope, receive, send)
        except ParleyError as error:
            refused = await self._policy.count_refused(request, error)
            await self._local.reject_websocket(request, refused, scope["subprotocols"], send)

    async def _handle(self, request: Request, receive: Receive, send: Send) -> None:
        if await self._local.respond(request, send):
            return
        self._check_draining(request, request.method)
        _check_head(request)
        route = request.route = self._routes.find(request.method, request.path)
        if route.websocket:
            raise UpgradeRequired
        await self._policy.admit(request, route)
        if not route.stream:
            await self._proxy.handle(request, route, receive, send)
            return
        async with self._streams.reserve(request.caller):
            await self._proxy.handle(request, route, receive, send)

    async def _handle_websocket(self, request: Request, scope: Any, receive: Receive, send: Send) -> None:
        self._check_draining(request, "GET")
        _check_head(request)
        route = self._routes.find("GET", request.path)
        if not route.websocket:
            raise errors.NotFound
        request.route = route
        self._check_origin(request)
        token = offered_token(scope["subprotocols"])
        if token:
            authorization = b"Bearer " + token.encode("latin-1")
            if request.used_headers.setdefault(b"authorization", authorization) != authorization:
                raise errors.AmbiguousCredentials
        # Over a WebSocket without a scope, the client may send its token in the first frame.
        if route.scope or b"authorization" in request.used_headers or b"x-api-key" in request.used_headers:
            await self._policy.admit(request, route)
        else:
            await self._policy.admit_anonymous(request, route)
        async with self._streams.reserve(request.caller):
            await self._websockets.handle(request, route, scope, receive, send)

    def _check_origin(self, request: Request) -> None:
        """Require an allowed origin or the gateway's own, because browsers let any page open a WebSocket."""
        origin = request.used_headers.get(b"origin")
        if origin and not self._cors.allows(origin) and origin.rpartition(b"//")[2] != request.host:
            raise errors.Forbidden("Pages of this origin may not open a WebSocket.")

    def _check_draining(self, request: Request, method: str) -> None:
        """Reject requests while draining, but only after the delay in which load balancers notice the shutdown.

        A further request on an open connection is served: its client could not know, and its response closes the
        connection. The rejected request has its route in metrics and logs.
        """
        if self._lifecycle.state != "draining" or (request.cycle is not None and not request.cycle.is_first):
            return
        now = time.monotonic()
        if self._draining_since is None:
            self._draining_since = now
        if now - self._draining_since >= self._drain_delay:
            with contextlib.suppress(ParleyError):
                request.route = self._routes.find(method, request.path)
            raise errors.Draining

    def _record(self, request: Request) -> None:
        """Record the request in the metrics, in its trace, and in the access log."""
        elapsed = time.perf_counter() - request.started
        key = (request.method, request.template, request.status)
        duration = self._durations.get(key)
        if duration is None:
            duration = self._durations[key] = self._metrics.request_duration.labels(
                request.method if request.route else "other", request.template, str(request.status)
            )
        duration.observe(elapsed)
        user = request.caller.pseudonym if request.caller else None
        if request.trace is not None:
            request.trace.end(request.template, request.status, attempts=request.attempts, user=user)
        if self._access_log is None or request.path in PROBE_ROUTES:
            return
        upstream = request.upstream_time
        line = {
            "request_id": request.request_id,
            "method": request.method,
            "route": request.template,
            "status": request.status,
            "bytes": request.bytes_sent,
            "duration_ms": round(elapsed * 1000, 2),
            "upstream_ms": None if upstream is None else round(upstream * 1000, 2),
            "user": user,
        }
        if request.trace is not None:
            line |= request.trace.log_ids()
        self._access_log.add(line)


def _raise_cancellation(error: BaseException) -> None:
    """Raise a cancellation of this request. The end of another task, such as a lookup, is an error like any other."""
    if isinstance(error, asyncio.CancelledError) and is_cancelled():
        raise error


def _check_head(request: Request) -> None:
    """Raise InvalidRequest for repeated headers, a malformed idempotency key, and too many parameters.

    That includes those which no route reads.
    """
    if request.query.count(b"&") >= MAX_PARAMETERS:
        raise errors.InvalidRequest(f"The query string has more than {MAX_PARAMETERS} parameters.")
    if request.repeated_headers and request.repeated_headers & SINGLE_HEADERS:
        raise errors.InvalidRequest("Send Idempotency-Key and Origin at most once.")
    key = request.used_headers.get(b"idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.match(key):
        raise errors.InvalidRequest("Idempotency-Key must have 1 to 255 visible ASCII characters.")


def _start_trace(tracer: Tracer, request: Request) -> RequestTrace:
    return start_trace(tracer, request.method, request.scheme, request.used_headers.get(b"traceparent"))
