"""One request: its head, its client and caller, and the state of its response."""

import re
import time
from dataclasses import dataclass
from typing import Any

from uuid_utils import uuid7

from gateway.http import Header
from gateway.observability.request_trace import RequestTrace
from gateway.routes import Route
from gateway.server.request_cycle import EXTENSION, RequestCycle
from parley.ids import pseudonym
from parley.ratelimit.limiter import Limit, TokenSession
from parley.security.identity import Principal
from parley.web.middleware import UNMATCHED_ROUTE

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_LIST_HEADERS = frozenset({b"x-forwarded-for", b"connection", b"access-control-request-headers"})
_USED_HEADERS = frozenset({
    b"authorization", b"x-api-key", b"origin", b"x-request-id", b"content-length", b"transfer-encoding", b"connection",
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"host", b"idempotency-key", b"traceparent",
    b"accept-encoding", b"if-none-match", b"access-control-request-method", b"access-control-request-headers",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class ClientAddress:
    """The IP address of a client, its rate limits, and its ``node`` in the Forwarded header."""

    text: str
    limits: tuple[Limit, ...]
    strict_limits: tuple[Limit, ...]
    node: bytes


class Caller:
    """The authenticated user of a request. Created once per credential and cached."""

    __slots__ = (
        "authorization", "expires_at", "from_key", "limits", "max_streams", "principal", "pseudonym", "session",
        "strict_limits", "user",
    )  # fmt: skip

    def __init__(
        self,
        principal: Principal,
        *,
        limits: tuple[Limit, ...],
        strict_limits: tuple[Limit, ...],
        max_streams: int,
    ) -> None:
        self.principal, self.user = principal, str(principal.user_id)
        self.pseudonym = pseudonym(self.user)
        self.session = TokenSession(principal.session_id, self.user, principal.issued_at)
        self.limits, self.strict_limits, self.max_streams = limits, strict_limits, max_streams
        self.authorization = f"authorization: Bearer {principal.token}\r\n".encode()
        self.expires_at = principal.expires_at
        self.from_key = principal.client_id == "api-key"


class Request:
    """The head of a request, and what is known of its response so far.

    ``ClientAddresses.locate`` sets ``client``, ``scheme`` and ``host``.
    """

    __slots__ = (
        "attempts", "bytes_sent", "caller", "client", "cycle", "headers", "host", "method", "path", "peer", "query",
        "rate_limit_headers", "raw_path", "repeated_headers", "request_id", "route", "scheme", "started", "status",
        "trace", "upstream_time", "used_headers",
    )  # fmt: skip

    def __init__(self, scope: Any) -> None:
        self.started = time.perf_counter()
        self.method: str = scope.get("method", "GET")
        self.raw_path: bytes = scope["raw_path"]
        self.path = self.raw_path.decode("latin-1")
        self.query: bytes = scope["query_string"]
        self.headers: list[Header] = scope["headers"]
        self.used_headers: dict[bytes, bytes] = {}
        self.repeated_headers: set[bytes] = set()
        self._read_headers()
        found = self.used_headers
        given = found.get(b"x-request-id")
        self.request_id = given.decode() if given and _REQUEST_ID.match(given) else str(uuid7())
        self.cycle: RequestCycle | None = (scope.get("extensions") or {}).get(EXTENSION)
        self.peer: str = scope["client"][0] if scope.get("client") else ""
        self.scheme = b"https" if scope.get("scheme") in {"https", "wss"} else b"http"
        self.host = found.get(b"host", b"")
        self.client: ClientAddress
        self.route: Route | None = None
        self.caller: Caller | None = None
        self.rate_limit_headers: tuple[Header, ...] = ()
        self.status = self.bytes_sent = self.attempts = 0
        self.upstream_time: float | None = None
        self.trace: RequestTrace | None = None

    def _read_headers(self) -> None:
        found = self.used_headers
        for name, value in self.headers:
            if name in _USED_HEADERS:
                if name in found:
                    self.repeated_headers.add(name)
                    if name in _LIST_HEADERS:
                        value = found[name] + b"," + value  # noqa: PLW2901 - several lines form one list
                found[name] = value

    @property
    def template(self) -> str:
        """The route's template, or ``unmatched``. Never the raw path."""
        return self.route.template if self.route else UNMATCHED_ROUTE

    @property
    def body_expected(self) -> bool:
        """Whether a body follows the head."""
        return (
            b"transfer-encoding" in self.used_headers
            or self.used_headers.get(b"content-length", b"0").strip(b"0") != b""
        )

    def traceparent(self) -> bytes | None:
        """Return the trace context for the service: of the gateway's span, else the client's. None if there is none."""
        if self.trace is not None:
            return self.trace.start_upstream_request(self.template).encode()
        given = self.used_headers.get(b"traceparent")
        return given if given and _TRACEPARENT.match(given) else None
