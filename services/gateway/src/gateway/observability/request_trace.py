"""The spans of one request in the gateway: its own, and that of what the gateway asks a service for it."""

from gateway.request import Request
from gateway.upstream.endpoint import Address
from parley.observability import tracing
from parley.observability.tracing import Span, SpanKind, Tracer
from parley.web.middleware import UNMATCHED_ROUTE

BAD, CLIENT_GONE = 400, 499


class RequestTrace:
    """Made when the request comes; ``end`` when its last byte was sent."""

    __slots__ = ("_answered", "_asked", "_tracer", "span")

    def __init__(self, tracer: Tracer, request: Request) -> None:
        """Begin the request's span, in its caller's trace if it came with one."""
        given = request.found.get(b"traceparent")
        parent = tracing.extract_context(given.decode("latin-1") if given else None)
        self._tracer = tracer
        self.span = tracing.start_server_span(tracer, request.method, request.scheme.decode(), parent)
        self._asked: Span | None = None
        self._answered = False

    def ask(self, request: Request) -> str:
        """Return the context that a service is to continue; the span of asking it begins here, once for all tries."""
        if not self.span.is_recording():
            return tracing.traceparent_of(self.span)
        if self._asked is None:
            about = {"http.request.method": request.method, "url.template": request.template}
            context = tracing.child_context(self.span)
            name = f"{request.method} {request.template}"
            self._asked = self._tracer.start_span(name, context=context, kind=SpanKind.CLIENT, attributes=about)
        return tracing.traceparent_of(self._asked)

    def answered(self, address: Address, status: int) -> None:
        """Note who answers, now that the head of the answer is here."""
        if self._asked is None:
            return
        self._answered = True
        self._asked.add_event("response head")
        self._asked.set_attributes({
            "server.address": address.host,
            "server.port": address.port,
            "http.response.status_code": status,
        })  # fmt: skip
        if status >= BAD:
            tracing.mark_failed(self._asked, str(status))

    def end(self, request: Request) -> None:
        """End both with what became of the request."""
        if self._asked is not None:
            if request.attempts > 1:
                self._asked.set_attribute("http.request.resend_count", request.attempts - 1)
            if not self._answered and request.status != CLIENT_GONE:
                tracing.mark_failed(self._asked, "no_answer")
            self._asked.end()
        user = request.caller.pseudonym if request.caller else None
        route = None if request.template == UNMATCHED_ROUTE else request.template
        tracing.end_server_span(self.span, request.method, route, request.status, user)
