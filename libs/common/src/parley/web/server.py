"""Server: uvicorn without signal handlers, graceful shutdown, and the entry point of a service process."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from parley.config.settings import ServiceSettings, SettingsError
from parley.errors import ParleyError
from parley.observability import logs
from parley.observability.error_reports import ErrorReportOptions, open_error_reports
from parley.process import memory_tuning
from parley.process.descriptors import accept_backlog, raise_descriptor_limit
from parley.process.failures import StartError, describe
from parley.process.stop_signal import ProcessStopSignal
from parley.web.lifecycle import Lifecycle
from parley.web.lifespan import lifespan
from parley.web.service_protocol import IDLE_TIMEOUT, ServiceHttpProtocol

log = structlog.get_logger()

CLOSE_TIMEOUT = 5
"""Seconds from the end of the drain until open connections are aborted."""
MIN_DRAIN_SECONDS = 0.5
"""Minimum seconds to keep serving open connections during a drain: each response tells its client to disconnect."""
LISTEN_POLL_INTERVAL = 0.01
ACCEPTED_AT_ONCE = 4
"""Connections that one iteration of the event loop accepts on a listening socket. Each more adds 4 % to their cost."""


class UvicornServer(uvicorn.Server):
    """A uvicorn server without signal handlers, because several servers can share a process.

    uvloop accepts one connection for each listening descriptor and iteration. A busy process, whose iterations take
    long, would let new connections and health checks wait for seconds, so each socket has several descriptors.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, on ``sockets`` or the configured address."""
        await super().startup(sockets)
        listening = self.servers
        # uvicorn's own way to listen on sockets; it makes a new list of servers, and no lifespan is on to start twice.
        await super().startup([each for server in listening for each in _more_descriptors(server.sockets)])
        self.servers = [*listening, *self.servers]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def _more_descriptors(sockets: Iterable[socket.socket]) -> Iterator[socket.socket]:
    for each in sockets:
        for _ in range(ACCEPTED_AT_ONCE - 1):
            yield socket.socket(fileno=os.dup(each.fileno()))


def make_server(app: ASGIApp, settings: ServiceSettings) -> UvicornServer:
    """Return a server for ``app``, not started.

    An app can set its protocol classes as ``http_protocol`` and ``websocket_protocol``.
    """
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        backlog=accept_backlog(),
        loop="none",
        http=getattr(app, "http_protocol", ServiceHttpProtocol),
        ws=getattr(app, "websocket_protocol", "websockets-sansio") if settings.speaks_websocket else "none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(IDLE_TIMEOUT),
        timeout_graceful_shutdown=CLOSE_TIMEOUT,
        ws_max_size=1_048_576,
        ws_ping_interval=15,
    )
    return UvicornServer(config)


async def drain(server: uvicorn.Server, lifecycle: Lifecycle, settings: ServiceSettings) -> None:
    """Stop a server gracefully: open requests and streams have ``drain_timeout`` seconds to finish."""
    lifecycle.start_draining()
    # Closing a connection immediately would lose a request that its client has already sent.
    extra = max(0.0, MIN_DRAIN_SECONDS - settings.drain_delay) if server.server_state.connections else 0.0
    await asyncio.sleep(settings.drain_delay + extra)
    if not await lifecycle.wait_idle(max(0.0, settings.drain_timeout - extra)):
        log.warning("drain_timeout_exceeded", open_requests=lifecycle.open_requests)
    server.should_exit = True


async def serve(
    app: ASGIApp, lifecycle: Lifecycle, settings: ServiceSettings, sockets: list[socket.socket] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain and close. A second signal closes immediately.

    When ``sockets`` are given, listen on them instead of the address in the settings; processes can share them.
    """
    stop = ProcessStopSignal()
    lifecycle.expect_server()
    with stop.installed():
        async with lifespan(app):
            stop.started()
            await _serve_until(stop, make_server(app, settings), lifecycle, settings, sockets)


async def _serve_until(
    stop: ProcessStopSignal,
    server: UvicornServer,
    lifecycle: Lifecycle,
    settings: ServiceSettings,
    sockets: list[socket.socket] | None,
) -> None:
    def close_now() -> None:
        server.force_exit = server.should_exit = True

    stop.on_second = close_now
    async with asyncio.TaskGroup() as group:
        running = group.create_task(server.serve(sockets))
        stopping = group.create_task(stop.wait())
        await wait_until_listening(server, running)
        lifecycle.mark_ready()
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not running.done():
            draining = group.create_task(drain(server, lifecycle, settings))
            await asyncio.wait({running, draining}, return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()


async def wait_until_listening(server: uvicorn.Server, running: "asyncio.Task[None]") -> None:
    """Wait until the server listens or has ended."""
    while not server.started and not running.done():
        await asyncio.sleep(LISTEN_POLL_INTERVAL)


def main(
    app: ASGIApp, lifecycle: Lifecycle, settings: ServiceSettings, sockets: list[socket.socket] | None = None
) -> int:
    """Run one service in this process and return the exit status."""
    raise_descriptor_limit()
    memory_tuning.limit_malloc_arenas()
    memory_tuning.tune_garbage_collector()
    with process_logs(settings):
        return run_process(serve(app, lifecycle, settings, sockets), settings)


def run_process(process: Coroutine[Any, Any, None], settings: ServiceSettings) -> int:
    """Run a service until it ends and return the exit status. A failure that an operator can mend is one log line."""
    import uvloop

    try:
        uvloop.run(process)
    except (OSError, SettingsError, ParleyError, StartError) as error:
        log.error("start_failed", service=settings.service, reason=_reason(error))  # noqa: TRY400 - no traceback
        return 1
    return 0


@contextlib.contextmanager
def process_logs(settings: ServiceSettings) -> Iterator[None]:
    """Configure logs and error reports of a process; reports that wait are sent at the end."""
    with open_error_reports(**error_report_options(settings)) as report:
        logs.configure_process(settings.log_level, settings.log_format, settings.log_file, report)
        yield


def error_report_options(settings: ServiceSettings) -> ErrorReportOptions:
    """Return the arguments of ``open_error_reports``."""
    dsn = settings.sentry_dsn.get_secret_value() if settings.sentry_dsn else None
    return {"dsn": dsn, "environment": settings.environment, "release": settings.git_sha}


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, (SettingsError, StartError)) else describe(error)


def free_socket(host: str = "127.0.0.1") -> socket.socket:
    """Return a socket bound to a free port. Unlike a port number, it cannot be taken by another process."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, 0))
    return bound
