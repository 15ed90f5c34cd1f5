"""CORS: the origins whose pages may call the API from a browser."""

import re
from collections.abc import Iterable

from gateway.http import Header

METHODS = b"GET, POST, PUT, PATCH, DELETE"
ALLOWED = (
    b"authorization, cache-control, content-type, idempotency-key, if-match, if-none-match, if-range, last-event-id, "
    b"prefer, range, traceparent, x-api-key, x-request-id, openai-organization, openai-project, anthropic-version, "
    b"anthropic-beta, anthropic-dangerous-direct-browser-access, user-agent"
)
_SDK_HEADER = re.compile(rb"x-stainless-[a-z0-9-]{1,40}\Z")
"""Headers that the SDKs of OpenAI and Anthropic add to each request."""
MAX_SDK_HEADERS, MAX_REQUESTED = 30, 100
EXPOSED = (
    b"accept-ranges, content-disposition, content-range, etag, "
    b"idempotency-replayed, location, ratelimit, ratelimit-policy, request-id, retry-after, retry-after-ms, "
    b"x-conversation-id, x-process-time, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, "
    b"x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, x-ratelimit-reset-requests, "
    b"x-ratelimit-reset-tokens, x-request-id, x-should-retry, x-turn-id"
)
MAX_AGE = b"7200"


class Cors:
    """The allowed origins. Pages of other origins cannot use the refresh cookie: responses never allow credentials."""

    def __init__(self, origins: Iterable[str]) -> None:
        """Take origins such as ``https://chat.example.org``, or with any port, ``http://localhost:*``."""
        listed = [origin.rstrip("/").lower() for origin in origins]
        self._exact = {origin.encode() for origin in listed if not origin.endswith(":*")}
        self._any_port = tuple(origin[:-1].encode() for origin in listed if origin.endswith(":*"))
        self.enabled = bool(listed)

    def allows(self, origin: bytes) -> bool:
        """Return whether pages of this origin may call the API."""
        if origin.lower() in self._exact:
            return True
        return any(
            (origin.startswith(prefix) and origin[len(prefix) :].isdigit()) or origin == prefix[:-1]
            for prefix in self._any_port
        )

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return the CORS headers of a response."""
        if not self.enabled:
            return ()
        if origin is None or not self.allows(origin):
            return ((b"vary", b"origin"),)
        return (
            (b"vary", b"origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
        )

    def preflight(self, origin: bytes, requested: bytes = b"") -> list[Header]:
        """Return the headers of a preflight response. For an origin that is not allowed, they grant nothing.

        ``requested`` are the names in ``Access-Control-Request-Headers``.
        """
        vary = (b"vary", b"origin, access-control-request-method, access-control-request-headers")
        if not self.allows(origin):
            return [vary]
        return [
            vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", b", ".join((ALLOWED, *_sdk_headers(requested)))),
            (b"access-control-max-age", MAX_AGE),
        ]


def _sdk_headers(requested: bytes) -> list[bytes]:
    names = [name.strip().lower() for name in requested.split(b",", MAX_REQUESTED)[:MAX_REQUESTED]]
    return [name for name in names if _SDK_HEADER.match(name)][:MAX_SDK_HEADERS]
