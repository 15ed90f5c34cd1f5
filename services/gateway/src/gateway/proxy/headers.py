"""Header rules: which headers cross the gateway, and which it removes or sets itself."""

from collections.abc import Callable, Iterable

from gateway.http import EMPTY_NAMES, Header

HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization",
    b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
})  # fmt: skip
REPLACED_IN_REQUESTS = frozenset({
    b"host", b"content-length", b"expect", b"authorization", b"x-api-key", b"cookie", b"forwarded", b"via",
    b"x-request-id", b"traceparent", b"x-real-ip", b"client-ip", b"true-client-ip", b"x-client-ip",
    b"x-original-url", b"x-rewrite-url",
})  # fmt: skip
"""Request headers that the gateway sets itself, or that services could mistake for the client's identity."""
IDENTITY_PREFIXES = (
    b"x-forwarded-", b"x-user", b"x-tenant", b"x-role", b"x-internal-", b"x-parley-", b"x-auth-", b"x-remote-",
    b"x-scope", b"x-session", b"remote-", b"x-envoy-",
)  # fmt: skip
REPLACED_IN_RESPONSES = frozenset({
    b"x-request-id", b"x-process-time", b"server", b"via", b"ratelimit", b"ratelimit-policy",
    b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests",
    b"x-content-type-options", b"x-frame-options", b"referrer-policy", b"alt-svc", b"strict-transport-security",
    b"content-security-policy", b"cross-origin-opener-policy", b"cross-origin-embedder-policy",
    b"cross-origin-resource-policy", b"permissions-policy", b"x-permitted-cross-domain-policies",
    b"x-dns-prefetch-control", b"x-powered-by", b"x-xss-protection",
})  # fmt: skip
"""Response headers that the gateway sets itself."""
BROWSER_SESSION_HEADERS = frozenset({b"cookie", b"x-parley-client"})
"""Request headers that only the routes of browser sessions forward."""
MAX_CACHED_NAMES = 1000


def request_header_lines(
    headers: Iterable[Header], hop_names: frozenset[bytes] = EMPTY_NAMES, *, browser_session: bool = False
) -> list[bytes]:
    """Return the header lines to forward, in pieces. ``hop_names``: from the client's Connection header.

    ``browser_session``: whether the route forwards the headers of browser sessions.
    """
    pieces: list[bytes] = []
    decisions = _FORWARDED_WITH_SESSION if browser_session else _FORWARDED
    for name, value in headers:
        if decisions[name] and name not in hop_names:
            pieces += (name, b": ", value, b"\r\n")
    return pieces


def response_headers(headers: Iterable[Header], hop_names: frozenset[bytes] = EMPTY_NAMES) -> list[Header]:
    """Return the response headers to relay. ``hop_names``: from the service's Connection header."""
    return [pair for pair in headers if _RELAYED[pair[0]] and pair[0] not in hop_names]


def forwards_request_header(name: bytes) -> bool:
    """Return whether a client's header of that lower-case name is forwarded. Names with ``_`` never are."""
    return not (
        b"_" in name or name in HOP_BY_HOP or name in REPLACED_IN_REQUESTS or name.startswith(IDENTITY_PREFIXES)
    )


def relays_response_header(name: bytes) -> bool:
    """Return whether a service's header of that lower-case name is relayed."""
    return not (
        name in HOP_BY_HOP
        or name in REPLACED_IN_RESPONSES
        or name.startswith((b"access-control-", b"x-envoy-", b"x-parley-"))
    )


class HeaderDecisions(dict[bytes, bool]):
    """Decisions by header name. The first MAX_CACHED_NAMES names are cached; a lookup costs less than an LRU cache."""

    def __init__(self, decide: Callable[[bytes], bool]) -> None:
        super().__init__()
        self._decide = decide

    def __missing__(self, name: bytes) -> bool:
        decision = self._decide(name)
        if len(self) < MAX_CACHED_NAMES:
            self[name] = decision
        return decision


_FORWARDED_WITH_SESSION = HeaderDecisions(lambda name: name in BROWSER_SESSION_HEADERS or forwards_request_header(name))
_FORWARDED, _RELAYED = HeaderDecisions(forwards_request_header), HeaderDecisions(relays_response_header)
