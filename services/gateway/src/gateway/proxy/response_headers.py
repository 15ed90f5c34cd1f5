"""What the gateway says on every answer, whoever gave it."""

import time

from gateway.access.cors import Cors
from gateway.proxy.headers import Header
from gateway.request import Request
from parley.web.lifecycle import Lifecycle
from parley.web.middleware import SECURITY_HEADERS


class CommonHeaders:
    """Completes the headers of answers."""

    def __init__(self, cors: Cors, lifecycle: Lifecycle) -> None:
        self._cors, self._lifecycle = cors, lifecycle

    def complete(self, request: Request, headers: list[Header]) -> list[Header]:
        """Add to an answer's headers what the gateway says on every one."""
        headers += (
            (b"x-request-id", request.request_id.encode()),
            (b"x-process-time", b"%.4f" % (time.perf_counter() - request.started)),
            (b"via", b"1.1 parley"),
            *request.quota,
            *SECURITY_HEADERS,
        )
        if self._cors.enabled and request.method != "OPTIONS":
            headers += self._cors.headers(request.found.get(b"origin"))
        if self._lifecycle.state == "draining" and not any(name == b"connection" for name, _ in headers):
            headers.append((b"connection", b"close"))
        return headers
