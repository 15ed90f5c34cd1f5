"""The way of a request through the gateway: route, credential, revocation and limits, forward."""

import time
from typing import Any

import structlog

from gateway.access.admission import Admission
from gateway.access.client_addresses import AddressBook
from gateway.access.cors import Cors
from gateway.access.policy import Guard
from gateway.access.streams import Streams
from gateway.errors import ClientGone
from gateway.local.responses import OwnAnswers
from gateway.observability.access_log import AccessLog
from gateway.observability.request_trace import RequestTrace
from gateway.proxy.bodies import Receive
from gateway.proxy.http_proxy import Proxy
from gateway.proxy.relaying import Send
from gateway.proxy.websocket import SocketProxy, offered_token, refuse
from gateway.request import Request
from gateway.routes import RouteTable
from parley import errors
from parley.errors import ParleyError
from parley.observability.metrics import Metrics
from parley.observability.tracing import Tracer, log_ids
from parley.web.lifecycle import Lifecycle
from parley.web.middleware import QUIET_ROUTES

log = structlog.get_logger()

CLIENT_GONE = 499
"""How nginx, and we, log a request whose client left before its answer began."""


class Pipeline:
    """Everything a request passes; made by wiring."""

    def __init__(
        self,
        *,
        addresses: AddressBook,
        own: OwnAnswers,
        table: RouteTable,
        admission: Admission,
        guard: Guard,
        streams: Streams,
        proxy: Proxy,
        sockets: SocketProxy,
        cors: Cors,
        access_log: AccessLog | None,
        metrics: Metrics,
        lifecycle: Lifecycle,
        tracer: Tracer | None,
        drain_delay: float,
    ) -> None:
        """Take the parts."""
        self._addresses, self._own, self._table = addresses, own, table
        self._admission, self._guard, self._streams = admission, guard, streams
        self._proxy, self._sockets, self._cors = proxy, sockets, cors
        self._access_log, self._metrics, self._tracer = access_log, metrics, tracer
        self._lifecycle, self._drain_delay = lifecycle, drain_delay
        self._draining_since: float | None = None
        self._timers: dict[tuple[str, str, int], Any] = {}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request(scope, self._addresses)
        if self._tracer is not None and request.path not in QUIET_ROUTES:
            request.trace = RequestTrace(self._tracer, request)
        self._lifecycle.begin_request()
        try:
            await self.handle(request, receive, send)
        except ParleyError as error:
            await self._own.refuse(request, error, send)
        except ClientGone:
            request.status = request.status or CLIENT_GONE
        except Exception:
            log.exception("unhandled error", request_id=request.request_id)
            await self._own.refuse(request, errors.InternalError(), send)
        finally:
            self._lifecycle.end_request()
            self._record(request)

    async def websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass a WebSocket on, or refuse it before it opens."""
        scope = {**scope, "method": "GET"}
        request = Request(scope, self._addresses)
        if self._tracer is not None:
            request.trace = RequestTrace(self._tracer, request)
        with self._lifecycle.request():
            try:
                await self._open_socket(request, scope, receive, send)
            except ParleyError as error:
                await refuse(request, error, send)
            except Exception:
                log.exception("unhandled error", request_id=request.request_id)
                await refuse(request, errors.InternalError(), send)
            finally:
                self._record(request)

    async def _open_socket(self, request: Request, scope: Any, receive: Receive, send: Send) -> None:
        self._refuse_while_draining()
        route = self._table.find("GET", request.path)
        if not route.websocket:
            raise errors.NotFound
        request.route = route
        self._check_origin(request)
        token = offered_token(scope["subprotocols"])
        if token:
            request.found.setdefault(b"authorization", b"Bearer " + token.encode("latin-1"))
        if b"authorization" in request.found or b"x-api-key" in request.found:
            await self._admission.admit(request, route)
        else:
            await self._guard.admit_anonymous(request, route)
        async with self._streams.hold(request.caller):
            await self._sockets.forward(request, route, scope["subprotocols"], receive, send)

    def _check_origin(self, request: Request) -> None:
        """Browsers let any page open a WebSocket: the origin must be allowed, or be our own."""
        origin = request.found.get(b"origin")
        if origin and not self._cors.allows(origin) and origin.rpartition(b"//")[2] != request.host:
            raise errors.Forbidden("This origin is not allowed.")

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Pass a request through; raises ParleyError for whatever refuses it."""
        if await self._own.answer(request, send):
            return
        self._refuse_while_draining()
        route = request.route = self._table.find(request.method, request.path)
        await self._admission.admit(request, route)
        if not route.stream:
            await self._proxy.forward(request, route, receive, send)
            return
        async with self._streams.hold(request.caller):
            await self._proxy.forward(request, route, receive, send)

    def _refuse_while_draining(self) -> None:
        """Go on during the drain delay, in which load balancers learn of it; then send everybody elsewhere."""
        if self._lifecycle.state != "draining":
            return
        now = time.monotonic()
        if self._draining_since is None:
            self._draining_since = now
        if now - self._draining_since >= self._drain_delay:
            raise errors.Draining

    def _record(self, request: Request) -> None:
        elapsed = time.perf_counter() - request.started
        key = (request.method, request.template, request.status)
        timer = self._timers.get(key)
        if timer is None:
            timer = self._timers[key] = self._metrics.request_duration.labels(
                request.method if request.route else "other", request.template, str(request.status)
            )
        timer.observe(elapsed)
        if request.trace is not None:
            request.trace.end(request)
        if self._access_log is None or request.path in QUIET_ROUTES:
            return
        upstream = request.upstream_time
        line = {
            "request_id": request.request_id,
            "method": request.method,
            "route": request.template,
            "status": request.status,
            "bytes": request.sent,
            "duration_ms": round(elapsed * 1000, 2),
            "upstream_ms": None if upstream is None else round(upstream * 1000, 2),
            "user": request.caller.pseudonym if request.caller else None,
        }
        if request.trace is not None:
            line |= log_ids(request.trace.span)
        self._access_log.add(line)
