"""The way of a request through the gateway: route, credential, revocation and limits, forward."""

import time
from typing import Any

import orjson
import structlog

from gateway.access_log import AccessLog
from gateway.addresses import AddressBook
from gateway.answers import Send, send_whole
from gateway.bodies import Receive
from gateway.cors import Cors
from gateway.credentials import Credentials
from gateway.errors import ClientGone
from gateway.guard import Guard
from gateway.headers import Header
from gateway.pages import Page, Pages, unpacked
from gateway.proxy import Proxy
from gateway.request import Caller, Request
from gateway.routes import Route, RouteTable, route
from gateway.streams import Streams
from gateway.traces import RequestTrace
from gateway.websocket import SocketProxy, offered_token, refuse
from parley import errors, problems
from parley.errors import ParleyError
from parley.lifecycle import Lifecycle
from parley.metrics import Metrics
from parley.middleware import QUIET_ROUTES, SECURITY_HEADERS
from parley.tracing import Tracer, log_ids

log = structlog.get_logger()

CLIENT_GONE = 499
"""How nginx, and we, log a request whose client left before its answer began."""
PAGE = route("GET", "/docs", "auth", None)
"""Stands for our own pages where a route is asked for: they count on the address."""
GET = frozenset({"GET", "HEAD"})


class Pipeline:
    """Everything a request passes; made by wiring."""

    proxy: Proxy
    sockets: SocketProxy

    def __init__(
        self,
        *,
        addresses: AddressBook,
        pages: Pages,
        table: RouteTable,
        credentials: Credentials,
        guard: Guard,
        streams: Streams,
        cors: Cors,
        access_log: AccessLog | None,
        metrics: Metrics,
        lifecycle: Lifecycle,
        tracer: Tracer | None,
        base_url: str,
        drain_delay: float,
    ) -> None:
        """Take the parts."""
        self._addresses, self._pages, self._table = addresses, pages, table
        self._credentials, self._guard, self._streams = credentials, guard, streams
        self._cors, self._access_log, self._metrics = cors, access_log, metrics
        self._lifecycle, self._base_url, self._drain_delay = lifecycle, base_url, drain_delay
        self._tracer = tracer
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
            await self._answer(request, error, send)
        except ClientGone:
            request.status = request.status or CLIENT_GONE
        except Exception:
            log.exception("unhandled error", request_id=request.request_id)
            await self._answer(request, errors.InternalError(), send)
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
            await self.admit(request, route)
        else:
            await self._guard.admit_anonymous(request, route)
        async with self._streams.hold(request.caller):
            await self.sockets.forward(request, route, scope["subprotocols"], receive, send)

    def _check_origin(self, request: Request) -> None:
        """Browsers let any page open a WebSocket: the origin must be allowed, or be our own."""
        origin = request.found.get(b"origin")
        if origin and not self._cors.allows(origin) and origin.rpartition(b"//")[2] != request.host:
            raise errors.Forbidden("This origin is not allowed.")

    async def handle(self, request: Request, receive: Receive, send: Send) -> None:
        """Pass a request through; raises ParleyError for whatever refuses it."""
        if await self._answer_here(request, send):
            return
        self._refuse_while_draining()
        route = request.route = self._table.find(request.method, request.path)
        await self.admit(request, route)
        if not route.stream:
            await self.proxy.forward(request, route, receive, send)
            return
        async with self._streams.hold(request.caller):
            await self.proxy.forward(request, route, receive, send)

    async def admit(self, request: Request, route: Route) -> None:
        """Check credential, scope, revocation and limits; raises what refuses."""
        if route.scope is None:
            await self._guard.admit_anonymous(request, route)
            return
        try:
            caller = request.caller = await self._credentials.identify(request)
        except (errors.Unauthenticated, errors.AmbiguousCredentials):
            await self._guard.count_failure(request)
            raise
        await self._guard.admit_caller(request, route, caller)
        if route.scope:
            caller.principal.require(route.scope)

    async def renew(self, request: Request, route: Route, token: str) -> Caller:
        """Check a token that came over an open socket; raises what refuses it, and TokenInvalid for another person's.

        It is counted and looked up among the revoked like the credential of a request.
        """
        try:
            caller = await self._credentials.caller_of(token)
            if request.caller is not None and request.caller.user != caller.user:
                raise errors.TokenInvalid
        except errors.Unauthenticated:
            await self._guard.count_failure(request)
            raise
        await self._guard.admit_caller(request, route, caller)
        return caller

    # Answers of the gateway's own.

    async def _answer_here(self, request: Request, send: Send) -> bool:
        """Answer preflights and our own pages; say whether that was it."""
        render = self._pages.find(request.path)
        if request.method == "OPTIONS":
            await self._answer_options(request, send)
            return True
        if render is None:
            return False
        if request.method not in GET:
            raise errors.MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        if request.path not in QUIET_ROUTES:
            await self._guard.admit_anonymous(request, PAGE)
        await self._answer_page(request, render(), send)
        return True

    async def _answer_options(self, request: Request, send: Send) -> None:
        origin, method = request.found.get(b"origin"), request.found.get(b"access-control-request-method")
        if origin is None or method is None:
            raise errors.MethodNotAllowed(headers={"Allow": "GET, HEAD, POST, PATCH, DELETE"})
        await self._send(request, 204, self._cors.preflight(origin), b"", send)

    async def _answer_page(self, request: Request, page: Page, send: Send) -> None:
        if page.status == errors.NotFound.status:
            raise errors.NotFound
        if b"gzip" not in request.found.get(b"accept-encoding", b""):
            page = unpacked(page)
        headers = [*page.headers, (b"content-length", b"%d" % len(page.body))]
        await self._send(request, page.status, headers, page.body, send)

    async def _answer(self, request: Request, error: ParleyError, send: Send) -> None:
        if request.status:  # the answer has begun: it can only be cut
            if request.exchange is not None:
                request.exchange.abort()
            return
        body = orjson.dumps(
            problems.problem(error, instance=request.path, request_id=request.request_id, base_url=self._base_url)
        )
        headers = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
        headers += [(b"content-type", problems.MEDIA_TYPE.encode()), (b"content-length", b"%d" % len(body))]
        if request.body_expected and not any(name == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))  # the rest of the body is not read
        await self._send(request, error.status, headers, body, send)

    async def _send(self, request: Request, status: int, headers: list[Header], body: bytes, send: Send) -> None:
        request.status, request.sent = status, len(body)
        await send_whole(request, status, self.respond(request, headers), body, send)

    def respond(self, request: Request, headers: list[Header]) -> list[Header]:
        """Add to an answer's headers what the gateway says on every one."""
        headers += (
            (b"x-request-id", request.request_id.encode()),
            (b"x-process-time", b"%.4f" % (time.perf_counter() - request.started)),
            (b"via", b"1.1 parley"),
            *request.quota,
            *SECURITY_HEADERS,
        )
        if self._cors.enabled and request.method != "OPTIONS":
            headers += self._cors.headers(request.found.get(b"origin"))
        if self._lifecycle.state == "draining" and not any(name == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))
        return headers

    # Around.

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
