"""Pure ASGI middleware of every service: request id, access log, timing, metrics, body limit, security headers."""

import re
import time
from dataclasses import dataclass, field

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley import errors
from parley.errors import ParleyError
from parley.ids import new_id, pseudonym
from parley.observability import tracing
from parley.observability.tracing import Span, Tracer
from parley.web import problems
from parley.web.runtime import Runtime

log = structlog.get_logger()

UNMATCHED_ROUTE = "unmatched"
"""The route of a request that no route took: raw paths never become labels."""
QUIET_ROUTES = frozenset({"/health", "/ready"})
_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._-]{1,128}$")
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
CONNECTION_CLOSE: tuple[tuple[bytes, bytes], ...] = ((b"connection", b"close"),)


@dataclass(slots=True)
class RequestInfo:
    """What is known of the request in hand; lives in ``scope["parley"]``."""

    request_id: str
    send: Send
    """The server's own: parts of a long answer may go straight to it, if whoever sends them adds them to ``sent``."""
    started: float = field(default_factory=time.perf_counter)
    user_id: str | None = None
    route: str | None = None
    status: int = 500
    sent: int = 0
    answered: bool = False
    span: Span | None = None
    """Only of a request that is traced."""


class RequestContext:
    """Give each request an id, log it once, time it, count it, trace it, and answer what nobody else answered."""

    def __init__(self, app: ASGIApp, *, runtime: Runtime, base_url: str) -> None:
        """Wrap ``app``; errors are described at ``base_url``."""
        self.app, self.runtime, self.base_url = app, runtime, base_url
        self.service, self.metrics, self.lifecycle = runtime.service, runtime.metrics, runtime.lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        info = RequestInfo(request_id(scope), send)
        scope["parley"] = info
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(service=self.service, request_id=info.request_id)
        self.metrics.active_requests.inc()
        with self.lifecycle.request():
            try:
                if self.runtime.tracer is None or scope["path"] in QUIET_ROUTES:
                    await self._run(scope, receive, send, info)
                else:
                    await self._traced(self.runtime.tracer, scope, receive, send, info)
            finally:
                self.metrics.active_requests.dec()
                self._record(scope, info)

    async def _traced(self, tracer: Tracer, scope: Scope, receive: Receive, send: Send, info: RequestInfo) -> None:
        parent = tracing.extract_context(_text(scope, b"traceparent"), _text(scope, b"tracestate"))
        span = info.span = tracing.start_server_span(tracer, scope.get("method", "GET"), scope["scheme"], parent)
        structlog.contextvars.bind_contextvars(**tracing.log_ids(span))
        with tracing.use_span(span):
            await self._run(scope, receive, send, info)

    async def _run(self, scope: Scope, receive: Receive, send: Send, info: RequestInfo) -> None:
        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                info.status, info.answered = message["status"], True
                elapsed = time.perf_counter() - info.started
                # Whoever keeps connections must not meet their end with its next request: it is told now.
                goodbye = CONNECTION_CLOSE if self.lifecycle.state == "draining" else ()
                own = (*_context_headers(info, elapsed), *SECURITY_HEADERS, *goodbye)
                message["headers"] = [*message.get("headers", ()), *own]
            elif message["type"] == "http.response.body":
                info.sent += len(message.get("body", b""))
            elif message["type"] == "websocket.accept":
                info.status, info.answered = 101, True
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        except ParleyError as error:
            await self._answer(error, scope, receive, send_counted, info)
        except Exception:
            log.exception("unhandled error")
            await self._answer(errors.InternalError(), scope, receive, send_counted, info)

    async def _answer(self, error: ParleyError, scope: Scope, receive: Receive, send: Send, info: RequestInfo) -> None:
        if info.answered or scope["type"] != "http":
            return
        response = problems.problem_response(
            error, instance=scope["path"], request_id=info.request_id, base_url=self.base_url
        )
        await response(scope, receive, send)

    def _record(self, scope: Scope, info: RequestInfo) -> None:
        elapsed = time.perf_counter() - info.started
        method = scope.get("method", "WS")
        route = info.route or route_template(scope)
        user = pseudonym(info.user_id) if info.user_id else None
        if info.span is not None:
            known = None if route == UNMATCHED_ROUTE else route
            tracing.end_server_span(info.span, scope.get("method", "GET"), known, info.status, user)
        self.metrics.request_duration.labels(method, route, str(info.status)).observe(elapsed)
        if route in QUIET_ROUTES:
            return
        log.info(
            "request",
            method=method,
            route=route,
            status=info.status,
            bytes=info.sent,
            duration_ms=round(elapsed * 1000, 2),
            user=user,
        )


class BodyLimit:
    """Refuse bodies over the limit: by their announced length, else as soon as the bytes exceed it."""

    def __init__(self, app: ASGIApp, *, limit: int, larger: dict[str, int] | None = None) -> None:
        """Take the limit in bytes, and paths that may be larger."""
        self.app, self.limit, self.larger = app, limit, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.larger.get(scope["path"], self.limit)
        too_large = errors.BodyTooLarge(f"At most {limit} bytes are accepted.")
        announced = header(scope, b"content-length")
        if announced and announced.isdigit() and int(announced) > limit:
            raise too_large
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise too_large
            return message

        await self.app(scope, receive_counted, send)


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of that (lower case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _text(scope: Scope, name: bytes) -> str | None:
    value = header(scope, name)
    return None if value is None else value.decode("latin-1")


def request_id(scope: Scope) -> str:
    """Return the caller's request id when it is well-formed, else a new one."""
    given = header(scope, b"x-request-id")
    return given.decode() if given and _REQUEST_ID.match(given) else str(new_id())


def route_template(scope: Scope) -> str:
    """Return the matched route's template, ``/api/v1/conversations/{id}``."""
    route = scope.get("route")
    return getattr(route, "path", None) or UNMATCHED_ROUTE


def _context_headers(info: RequestInfo, elapsed: float) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-request-id", info.request_id.encode()), (b"x-process-time", b"%.4f" % elapsed))
