"""The gateway's ASGI app, and its command."""

import contextlib
import functools
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import Router

from gateway import wiring
from gateway.access.client_addresses import client_addresses
from gateway.security_headers import DEFAULT_HEADERS, security_headers
from gateway.server.connections import ClientConnections
from gateway.server.descriptors import fit_descriptors
from gateway.server.websocket_protocol import WebSocketConnection
from gateway.server.workers import WorkerProcesses
from gateway.settings import GatewaySettings
from gateway.wiring import GatewayParts
from parley import __version__
from parley.config.settings import SettingsError, load_or_exit
from parley.errors import ParleyError
from parley.observability import logs
from parley.process.descriptors import raise_descriptor_limit
from parley.process.tasks import background
from parley.web import server
from parley.web.runtime import Runtime
from parley.web.service import Wire, make_runtime, run_service


@dataclass
class GatewayState:
    """The runtime, and the parts that exist while the lifespan is entered."""

    runtime: Runtime
    wired: GatewayParts = field(init=False)


class Gateway:
    """The ASGI app. It uses no framework, because every layer would cost time on every request."""

    def __init__(self, settings: GatewaySettings, wire: Wire[GatewaySettings, GatewayParts]) -> None:
        runtime = make_runtime(settings, service="gateway", version=__version__)
        subject_of = client_addresses(settings).connection_subject
        connections = self.connections = ClientConnections(settings, subject_of, self._count_refused)
        self.http_protocol = connections.protocol
        headers = (*security_headers(settings.issuer()), *DEFAULT_HEADERS)
        self.websocket_protocol = functools.partial(
            WebSocketConnection, headers=headers, base_url=settings.issuer(), count_refused=self._count_refused
        )
        self.state = GatewayState(runtime)

        @contextlib.asynccontextmanager
        async def lifespan(_: object) -> AsyncIterator[None]:
            async with (
                run_service(runtime, settings, wire) as wired,
                background("client deadlines", connections.enforce_deadlines, service="gateway"),
            ):
                self.state.wired = wired
                yield

        self.router = Router(lifespan=lifespan)

    async def _count_refused(self, peer: str, forwarded_for: str) -> ParleyError | None:
        return await self.state.wired.pipeline.count_unparsed(peer, forwarded_for)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle an ASGI scope."""
        if scope["type"] == "http":
            await self.state.wired.pipeline(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.state.wired.pipeline.websocket(scope, receive, send)
        else:
            await self.router(scope, receive, send)


def create_app(
    settings: GatewaySettings | None = None, *, wire: Wire[GatewaySettings, GatewayParts] = wiring.wire
) -> Gateway:
    """Return the gateway's app. ``wire`` opens its parts when the lifespan starts."""
    return Gateway(settings or load_or_exit(GatewaySettings), wire)


def main() -> None:
    """Run the gateway until a signal stops it."""
    settings = load_or_exit(GatewaySettings)
    logs.configure_process(settings.log_level, settings.log_format, settings.log_file)
    try:
        settings = fit_descriptors(settings, raise_descriptor_limit())
        client_addresses(settings)
    except SettingsError as error:
        sys.stderr.write(f"gateway: {error}\n")
        sys.exit(2)
    if settings.workers == 1:
        sys.exit(run_worker(settings))
    try:
        workers = WorkerProcesses(settings, run_worker)
    except OSError as error:
        sys.exit(f"gateway: cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    sys.exit(workers.run())


def run_worker(settings: GatewaySettings, sockets: list[socket.socket] | None = None) -> int:
    """Run one gateway process until a signal stops it. Return the exit status."""
    app = create_app(settings)
    return server.main(app, app.state.runtime.lifecycle, settings, sockets)
