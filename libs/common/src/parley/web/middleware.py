"""ASGI middleware of every service: request context (id, log, metrics, trace, headers) and body limit."""

import asyncio
import re
import time
from dataclasses import dataclass, field

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley import errors
from parley.errors import ParleyError
from parley.ids import new_id, pseudonym
from parley.observability import tracing
from parley.observability.tracing import Span, Tracer
from parley.process.current_user import work_for
from parley.process.tasks import is_cancelled
from parley.web import problems
from parley.web.runtime import Runtime

log = structlog.get_logger()

UNMATCHED_ROUTE = "unmatched"
"""Route label of a request that matches no route; paths are never used as labels."""
PROBE_ROUTES = frozenset({"/health", "/ready"})
"""Routes that are neither logged nor traced."""
CLIENT_CLOSED_REQUEST = 499
"""The status, as in nginx, under which a request is logged when its client disconnects before the response."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
CONNECTION_CLOSE: tuple[tuple[bytes, bytes], ...] = ((b"connection", b"close"),)


@dataclass(slots=True)
class RequestInfo:
    """State of the current request, stored in ``scope["parley"]``."""

    request_id: str
    send: Send
    """The server's ``send``. Code that streams directly to it must add the bytes to ``sent``."""
    started: float = field(default_factory=time.perf_counter)
    user_id: str | None = None
    route: str | None = None
    status: int = 500
    sent: int = 0
    response_started: bool = False
    streaming: bool = False
    """Whether the response is an event stream or a WebSocket."""
    span: Span | None = None
    """Set when the request is traced."""


class RequestContext:
    """Assigns a request id, logs, measures and traces each request, and converts exceptions to responses."""

    def __init__(self, app: ASGIApp, *, runtime: Runtime, base_url: str) -> None:
        """Wrap ``app``. Error responses link to the documentation of their code below ``base_url``."""
        self.app, self.runtime, self.base_url = app, runtime, base_url
        self.service, self.metrics, self.lifecycle = runtime.service, runtime.metrics, runtime.lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        info = RequestInfo(request_id(scope), send)
        scope["parley"] = info
        work_for(None)  # until the caller is known
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(service=self.service, request_id=info.request_id)
        self.metrics.active_requests.inc()
        with self.lifecycle.request():
            try:
                if self.runtime.tracer is None or scope["path"] in PROBE_ROUTES:
                    await self._run(scope, receive, send, info)
                else:
                    await self._traced(self.runtime.tracer, scope, receive, send, info)
            finally:
                self.metrics.active_requests.dec()
                self.lifecycle.open_streams -= info.streaming
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
                info.status, info.response_started = message["status"], True
                self._count_stream(info, _is_event_stream(message))
                elapsed = time.perf_counter() - info.started
                # Tells clients with keep-alive connections not to send another request to a draining instance.
                closing = CONNECTION_CLOSE if self.lifecycle.state == "draining" else ()
                own = (*_context_headers(info, elapsed), *SECURITY_HEADERS, *closing)
                message["headers"] = [*message.get("headers", ()), *own]
            elif message["type"] == "http.response.body":
                info.sent += len(message.get("body", b""))
            elif message["type"] == "websocket.accept":
                info.status, info.response_started = 101, True
                self._count_stream(info, True)
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        except ParleyError as error:
            await self._respond(error, scope, receive, send_counted, info)
        except ClientDisconnect:  # it left while its body was read
            info.status = info.status if info.response_started else CLIENT_CLOSED_REQUEST
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and is_cancelled():
                raise
            log.exception("unhandled_error")
            await self._respond(errors.InternalError(), scope, receive, send_counted, info)

    def _count_stream(self, info: RequestInfo, streaming: bool) -> None:
        info.streaming = streaming
        self.lifecycle.open_streams += streaming

    async def _respond(self, error: ParleyError, scope: Scope, receive: Receive, send: Send, info: RequestInfo) -> None:
        if info.response_started or scope["type"] != "http":
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
        if route in PROBE_ROUTES:
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
    """Rejects compressed bodies, and bodies over the limit: by ``Content-Length`` or when too much is received."""

    def __init__(self, app: ASGIApp, *, limit: int, larger: dict[str, int] | None = None) -> None:
        """Set the limit in bytes, and the limits of paths that accept more."""
        self.app, self.limit, self.larger = app, limit, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if (header(scope, b"content-encoding") or b"identity").strip().lower() != b"identity":
            raise errors.UnsupportedMediaType(
                detail="Compressed request bodies are not supported. Omit Content-Encoding."
            )
        limit = self.larger.get(scope["path"], self.limit)
        too_large = errors.BodyTooLarge(f"The request body is too large: at most {limit} bytes are accepted.")
        declared = header(scope, b"content-length")
        if declared and declared.isdigit() and int(declared) > limit:
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
    """Return the first header with this lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def _is_event_stream(start: Message) -> bool:
    return any(
        name == b"content-type" and value.startswith(b"text/event-stream") for name, value in start.get("headers", ())
    )


def _text(scope: Scope, name: bytes) -> str | None:
    value = header(scope, name)
    return None if value is None else value.decode("latin-1")


def request_id(scope: Scope) -> str:
    """Return the caller's request id if it is valid, otherwise a new id."""
    given = header(scope, b"x-request-id")
    return given.decode() if given and _REQUEST_ID.match(given) else str(new_id())


def route_template(scope: Scope) -> str:
    """Return the path template of the matched route, for example ``/api/v1/conversations/{id}``."""
    route = scope.get("route")
    return getattr(route, "path", None) or UNMATCHED_ROUTE


def _context_headers(info: RequestInfo, elapsed: float) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-request-id", info.request_id.encode()), (b"x-process-time", b"%.4f" % elapsed))
