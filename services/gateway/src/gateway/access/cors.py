"""Cross-origin requests: who may read answers in a browser."""

from collections.abc import Iterable

from gateway.proxy.headers import Header

METHODS = b"GET, POST, PATCH, DELETE"
ALLOWED = (
    b"authorization, cache-control, content-type, idempotency-key, if-match, last-event-id, prefer, traceparent, "
    b"x-api-key, x-request-id"
)
EXPOSED = (
    b"etag, idempotency-replayed, location, ratelimit, ratelimit-policy, retry-after, retry-after-ms, "
    b"x-conversation-id, x-process-time, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, "
    b"x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, "
    b"x-ratelimit-reset-tokens, x-request-id, x-should-retry, x-turn-id"
)
MAX_AGE = b"7200"


class Cors:
    """Knows the allowed origins: exact, or with ``*`` for the port. No cookies, hence no credentials mode."""

    def __init__(self, origins: Iterable[str]) -> None:
        """Take origins like ``https://chat.example.org`` and ``http://localhost:*``."""
        listed = [origin.rstrip("/").lower() for origin in origins]
        self._exact = {origin.encode() for origin in listed if not origin.endswith(":*")}
        self._any_port = tuple(origin[:-1].encode() for origin in listed if origin.endswith(":*"))
        self.enabled = bool(listed)

    def allows(self, origin: bytes) -> bool:
        """Say whether pages of that origin may call."""
        if origin.lower() in self._exact:
            return True
        return any(
            (origin.startswith(prefix) and origin[len(prefix) :].isdigit()) or origin == prefix[:-1]
            for prefix in self._any_port
        )

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return what an answer says to a browser."""
        if not self.enabled:
            return ()
        if origin is None or not self.allows(origin):
            return ((b"vary", b"origin"),)
        return (
            (b"vary", b"origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
        )

    def preflight(self, origin: bytes) -> list[Header]:
        """Return the headers of a preflight's answer; without permission they only lack it."""
        vary = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
        if not self.allows(origin):
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", ALLOWED),
            (b"access-control-max-age", MAX_AGE),
        ]
