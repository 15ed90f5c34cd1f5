"""Headers that the gateway adds to every response."""

import time

from gateway.access.cors import Cors
from gateway.http import Header, date_header, has_header
from gateway.request import Request
from gateway.security_headers import DEFAULT_HEADERS, security_headers
from parley.web.lifecycle import Lifecycle
from parley.web.problems import speaks_anthropic


class ResponseHeaders:
    """Adds the gateway's headers to responses."""

    def __init__(self, cors: Cors, lifecycle: Lifecycle, *, public_url: str) -> None:
        """``public_url`` is the URL that clients use; with HTTPS, responses require it of browsers (HSTS)."""
        self._cors, self._lifecycle, self._security = cors, lifecycle, security_headers(public_url)

    def add(self, request: Request, headers: list[Header]) -> list[Header]:
        """Add the gateway's headers to the list, and return it."""
        for pair in DEFAULT_HEADERS:
            if not has_header(headers, pair[0]):
                headers.append(pair)
        if not has_header(headers, b"date"):
            headers.append(date_header())
        headers += (
            (b"x-request-id", request.request_id.encode()),
            (b"x-process-time", b"%.4f" % (time.perf_counter() - request.started)),
            (b"via", b"1.1 parley"),
            *request.rate_limit_headers,
            *self._security,
        )
        if speaks_anthropic(request.path):  # its clients read the ID of a request from this header
            headers.append((b"request-id", request.request_id.encode()))
        if self._cors.enabled and request.method != "OPTIONS":
            headers += self._cors.headers(request.used_headers.get(b"origin"))
        if self._lifecycle.state == "draining" and not has_header(headers, b"connection"):
            headers.append((b"connection", b"close"))
        return headers
