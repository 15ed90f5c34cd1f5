"""One request in hand: what its head says, read once, and what becomes of it."""

import re
import time
from typing import TYPE_CHECKING, Any, Protocol

from uuid_utils import uuid7

from gateway.access.client_addresses import AddressBook, Client
from gateway.access.plans import Plan
from gateway.proxy.headers import Header
from gateway.routes import Route
from parley.ratelimit.limiter import Limit, TokenSession
from parley.security.identity import Principal
from parley.web.middleware import UNMATCHED_ROUTE

if TYPE_CHECKING:
    from gateway.observability.request_trace import RequestTrace

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}\Z")
_TRACE = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")
_INTERESTING = frozenset({
    b"authorization", b"x-api-key", b"origin", b"x-request-id", b"content-length", b"transfer-encoding", b"connection",
    b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"host", b"idempotency-key", b"traceparent",
    b"accept-encoding", b"access-control-request-method", b"if-none-match",
})  # fmt: skip


class Exchange(Protocol):
    """What the server tells about the client's connection."""

    on_gone: Any

    async def respond(self, status: int, headers: list[Header], body: bytes) -> None:
        """Send a whole answer at once."""

    def send_part(self, data: bytes) -> None:
        """Send a part of a begun answer whose length is not known; wait for ``writable`` before."""

    async def writable(self) -> None:
        """Wait until the client has taken most of what was sent."""

    def abort(self) -> None:
        """Close it at once."""


class Caller:
    """Whose credentials came with a request: made once a token, then remembered."""

    __slots__ = (
        "authorization",
        "expires_at",
        "from_key",
        "limits",
        "plan",
        "principal",
        "pseudonym",
        "session",
        "strict_limits",
        "user",
    )

    def __init__(self, principal: Principal, plan: Plan, pseudonym: str) -> None:
        self.principal, self.plan, self.pseudonym = principal, plan, pseudonym
        self.user = str(principal.user_id)
        self.session = TokenSession(principal.session_id, self.user, principal.issued_at)
        self.limits: tuple[Limit, ...] = plan.limits(self.user)
        self.strict_limits: tuple[Limit, ...] = plan.limits(self.user, strict=True)
        self.authorization = f"authorization: Bearer {principal.token}\r\n".encode()
        self.expires_at = principal.expires_at
        self.from_key = principal.client_id == "api-key"


class Request:
    """A request's head, its client, and what is known of the answer so far."""

    __slots__ = (
        "attempts", "caller", "client", "exchange", "extra", "found", "headers", "host", "method", "path", "query",
        "quota", "raw_path", "repeated", "request_id", "route", "scheme", "sent", "started", "status", "trace",
        "upstream_time", "version",
    )  # fmt: skip

    def __init__(self, scope: Any, addresses: AddressBook) -> None:
        self.started = time.perf_counter()
        self.method: str = scope.get("method", "GET")
        self.raw_path: bytes = scope["raw_path"]
        self.path = self.raw_path.decode("latin-1")
        self.query: bytes = scope["query_string"]
        self.version: str = scope.get("http_version", "1.1")
        self.headers: list[Header] = scope["headers"]
        self.found: dict[bytes, bytes] = {}
        self.repeated: set[bytes] = set()
        self._read_headers()
        found = self.found
        given = found.get(b"x-request-id")
        self.request_id = given.decode() if given and _REQUEST_ID.match(given) else str(uuid7())
        self.exchange: Exchange | None = (scope.get("extensions") or {}).get("parley.exchange")
        peer = scope["client"][0] if scope.get("client") else ""
        self.client: Client
        self._locate(peer, scope, addresses)
        self.route: Route | None = None
        self.caller: Caller | None = None
        self.quota: tuple[Header, ...] = ()
        self.extra: tuple[Header, ...] = ()
        self.status, self.sent, self.attempts = 0, 0, 0
        self.upstream_time: float | None = None
        self.trace: RequestTrace | None = None

    def _read_headers(self) -> None:
        found = self.found
        for name, value in self.headers:
            if name in _INTERESTING:
                if name in found:
                    self.repeated.add(name)
                    if name in {b"x-forwarded-for", b"connection"}:
                        value = found[name] + b"," + value  # noqa: PLW2901 - a list in several lines is one list
                found[name] = value

    def _locate(self, peer: str, scope: Any, addresses: AddressBook) -> None:
        found = self.found
        self.scheme = b"https" if scope.get("scheme") in {"https", "wss"} else b"http"
        self.host = found.get(b"host", b"")
        if b"x-forwarded-for" in found and addresses.trusts(peer):
            self.client = addresses.client(peer, found[b"x-forwarded-for"].decode("latin-1"))
            if found.get(b"x-forwarded-proto") in {b"http", b"https"}:
                self.scheme = found[b"x-forwarded-proto"]
            self.host = found.get(b"x-forwarded-host", self.host)
        else:
            self.client = addresses.client(peer)

    @property
    def template(self) -> str:
        """The route's template, or ``unmatched``: never a raw path."""
        return self.route.template if self.route else UNMATCHED_ROUTE

    @property
    def body_expected(self) -> bool:
        """Whether a body follows the head."""
        return b"transfer-encoding" in self.found or self.found.get(b"content-length", b"0").strip(b"0") != b""

    def traceparent(self) -> bytes | None:
        """Return the trace context for the service: our span's, else the caller's; None lets the service begin one."""
        if self.trace is not None:
            return self.trace.ask(self).encode()
        given = self.found.get(b"traceparent")
        return given if given and _TRACE.match(given) else None
