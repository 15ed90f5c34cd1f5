"""Health and readiness responses of the public port."""

from dataclasses import replace

import orjson

from gateway.local.docs_pages import LocalPage
from parley.web import admin_port
from parley.web.runtime import Runtime


class HealthPages:
    """Renders ``/health`` and ``/ready`` from the state of the process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def health(self) -> LocalPage:
        """Return 200, or 503 when the event loop hangs."""
        page = _json(200 if self._runtime.lifecycle.alive() else 503, admin_port.health(self._runtime))
        return replace(page, headers=(*page.headers, (b"date", admin_port.date_header().encode())))

    def ready(self) -> LocalPage:
        """Return 200 when the gateway accepts requests, else 503."""
        state = self._runtime.lifecycle.state
        return _json(200 if state == "ready" else 503, {"status": state})


def _json(status: int, body: object) -> LocalPage:
    return LocalPage(
        status, orjson.dumps(body), ((b"content-type", b"application/json"), (b"cache-control", b"no-store"))
    )
