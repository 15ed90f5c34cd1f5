"""What crosses the gateway: end-to-end headers only, identity never from the client."""

from collections.abc import Iterable, Sequence

Header = tuple[bytes, bytes]
USUAL = frozenset({b"keep-alive", b"close"})
"""What `Connection` says without naming a header."""
NOTHING: frozenset[bytes] = frozenset()

HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization",
    b"te", b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings",
})  # fmt: skip
REPLACED = frozenset({
    b"host", b"content-length", b"expect", b"authorization", b"x-api-key", b"cookie", b"forwarded", b"via",
    b"x-request-id", b"traceparent", b"x-real-ip", b"client-ip", b"true-client-ip", b"x-client-ip",
    b"x-original-url", b"x-rewrite-url",
})  # fmt: skip
"""Request headers that the gateway sets itself, or that would say who the client is."""
IDENTITY_PREFIXES = (
    b"x-forwarded-", b"x-user", b"x-tenant", b"x-role", b"x-internal-", b"x-parley-", b"x-auth-", b"x-remote-",
    b"x-scope", b"x-session", b"remote-", b"x-envoy-",
)  # fmt: skip
OURS = frozenset({
    b"x-request-id", b"x-process-time", b"server", b"via", b"ratelimit", b"ratelimit-policy",
    b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests",
    b"x-content-type-options", b"x-frame-options", b"referrer-policy", b"alt-svc",
})  # fmt: skip
"""Response headers that the gateway sets itself."""
VIA = b"1.1 parley"
MAX_REMEMBERED = 1000


class RequestFilter:
    """Says which of a client's headers go on; remembers its answers by name, a bounded number of them."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[bytes, bool] = {}

    def lines(self, headers: Iterable[Header], nominated: frozenset[bytes] = frozenset()) -> list[bytes]:
        """Return the pieces of the header lines that go on."""
        known = self._known
        pieces: list[bytes] = []
        for name, value in headers:
            keep = known.get(name)
            if keep is None:
                keep = self._decide(name)
            if keep and name not in nominated:
                pieces += (name, b": ", value, b"\r\n")
        return pieces

    def _decide(self, name: bytes) -> bool:
        keep = passes_request(name)
        if len(self._known) < MAX_REMEMBERED:
            self._known[name] = keep
        return keep


class ResponseFilter:
    """The same for an upstream's headers."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[bytes, bool] = {}

    def pairs(self, headers: Iterable[Header], nominated: frozenset[bytes] = frozenset()) -> list[Header]:
        """Return the headers that go on."""
        known, kept = self._known, []
        for pair in headers:
            keep = known.get(pair[0])
            if keep is None:
                keep = passes_response(pair[0])
                if len(known) < MAX_REMEMBERED:
                    known[pair[0]] = keep
            if keep and pair[0] not in nominated:
                kept.append(pair)
        return kept


def passes_request(name: bytes) -> bool:
    """Say whether a client's header of that (lower case) name goes on; spellings with ``_`` never do."""
    return not (b"_" in name or name in HOP_BY_HOP or name in REPLACED or name.startswith(IDENTITY_PREFIXES))


def passes_response(name: bytes) -> bool:
    """Say whether an upstream's header of that (lower case) name goes on."""
    return not (name in HOP_BY_HOP or name in OURS or name.startswith((b"access-control-", b"x-envoy-")))


def nominated(connection: bytes) -> frozenset[bytes]:
    """Return the fields that a Connection header declares to be for this hop only."""
    if connection.lower() in USUAL:
        return NOTHING
    return frozenset(token.strip().lower() for token in connection.split(b",")) - {b"close", b"keep-alive", b""}


def values(headers: Sequence[Header], wanted: bytes) -> list[bytes]:
    """Return every value of a (lower case) name."""
    return [value for name, value in headers if name == wanted]


def holds(headers: Sequence[Header], wanted: bytes) -> bool:
    """Say whether a (lower case) name is there."""
    for name, _ in headers:  # noqa: SIM110 - any() would cost three times as much, on every request
        if name == wanted:
            return True
    return False
