"""Admin port: probes, metrics and status, served by a separate thread so that load does not delay probes."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from email.utils import formatdate
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import orjson
import structlog
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from parley.web.runtime import Runtime

log = structlog.get_logger()

STATUS_TIMEOUT = 5.0
MAX_CONNECTIONS = 32
"""Open connections to the admin port, each of which has a thread."""
AdminResponse = tuple[str, str, bytes]
"""Status line, media type, body."""


@contextlib.asynccontextmanager
async def serve_admin(runtime: Runtime) -> AsyncIterator[int]:
    """Serve the admin port while the context is open; yield the port number."""
    settings = runtime.settings
    app = AdminApp(runtime, asyncio.get_running_loop())
    server = make_server(
        settings.admin_host, settings.admin_port, app, server_class=_Server, handler_class=_QuietHandler
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="admin", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class AdminApp:
    """WSGI app of the admin port."""

    def __init__(self, runtime: Runtime, loop: asyncio.AbstractEventLoop) -> None:
        """Use ``loop`` to ping the dependencies of ``runtime``."""
        self.runtime, self.loop = runtime, loop
        self.routes: dict[str, Callable[[], AdminResponse]] = {
            "/health": self._health,
            "/ready": self._ready,
            "/metrics": self._metrics,
            "/status": self._status,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        route = self.routes.get(environ["PATH_INFO"])
        status, media_type, body = route() if route else _json("404 Not Found", {"status": "not found"})
        start_response(status, [("Content-Type", media_type), ("Content-Length", str(len(body)))])
        return [body]

    def _health(self) -> AdminResponse:
        body = health(self.runtime)
        return _json("200 OK", body) if self.runtime.lifecycle.alive() else _json("503 Service Unavailable", body)

    def _ready(self) -> AdminResponse:
        ready, body = self.runtime.lifecycle.readiness()
        return _json("200 OK" if ready else "503 Service Unavailable", body)

    def _metrics(self) -> AdminResponse:
        return "200 OK", CONTENT_TYPE_LATEST, generate_latest(self.runtime.metrics.registry)

    def _status(self) -> AdminResponse:
        future = asyncio.run_coroutine_threadsafe(self.runtime.status(), self.loop)
        try:
            return _json("200 OK", future.result(STATUS_TIMEOUT))
        except TimeoutError:
            future.cancel()
            return _json("503 Service Unavailable", {**health(self.runtime), "status": "hung"})


def health(runtime: Runtime) -> dict[str, Any]:
    """Return the response body of ``/health``."""
    status = "ok" if runtime.lifecycle.alive() else "hung"
    return {"status": status, "service": runtime.service, "version": runtime.version}


def date_header() -> str:
    """Return the value of a ``Date`` header: this machine's clock, which operators compare with others."""
    return formatdate(usegmt=True)


def _json(status: str, body: object) -> AdminResponse:
    return status, "application/json", orjson.dumps(body)


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each of at most ``MAX_CONNECTIONS`` connections. The oldest one makes room for a new one."""

    daemon_threads = True
    request_queue_size = 128
    """Connections that wait to be accepted; with 5, the default, a probe in a flood waits for seconds."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # ends its thread
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


class _QuietHandler(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        del format, args
