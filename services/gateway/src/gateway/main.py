"""The gateway as an ASGI app and as a program."""

import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Iterable
from functools import partial
from types import SimpleNamespace
from typing import Any

from starlette.routing import Router

from gateway import wiring
from gateway.routes import Route
from gateway.server.connections import Edge
from gateway.server.workers import Workers
from gateway.settings import GatewaySettings
from parley.config.settings import load_or_exit
from parley.observability import logs
from parley.web import server
from parley.web.app import Wire, make_runtime, run

VERSION = "0.1.0"


class Gateway:
    """The ASGI app: plain ASGI, because every layer would be paid on every request."""

    def __init__(
        self, settings: GatewaySettings, wire: Wire[GatewaySettings] | None, routes: Iterable[Route] | None
    ) -> None:
        """Make the app; nothing is opened before its lifespan is entered."""
        runtime = make_runtime(settings, service="gateway", version=VERSION)
        edge = Edge(settings)
        self.http_protocol = edge.protocol
        self.state = SimpleNamespace(runtime=runtime, wired=None)
        chosen = wire or partial(wiring.wire, edge=edge, routes=routes)

        @contextlib.asynccontextmanager
        async def lifespan(_: object) -> AsyncIterator[None]:
            async with run(runtime, settings, chosen) as wired:
                self.state.wired = wired
                yield

        self.router = Router(lifespan=lifespan)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or start and stop."""
        if scope["type"] == "http":
            await self.state.wired.pipeline(scope, receive, send)
        elif scope["type"] == "websocket":
            await self.state.wired.pipeline.websocket(scope, receive, send)
        else:
            await self.router(scope, receive, send)


def create_app(
    settings: GatewaySettings | None = None,
    *,
    wire: Wire[GatewaySettings] | None = None,
    routes: Iterable[Route] | None = None,
) -> Gateway:
    """Return the gateway's app; ``wire`` opens its parts, by default the real ones with these ``routes``, or all."""
    return Gateway(settings or load_or_exit(GatewaySettings), wire, routes)


def main() -> None:
    """Run the gateway until a signal ends it."""
    settings = load_or_exit(GatewaySettings)
    if settings.workers == 1:
        sys.exit(work(settings))
    logs.configure(settings.log_level, settings.log_format)
    try:
        workers = Workers(settings, work)
    except OSError as error:
        sys.exit(f"gateway: cannot listen on {settings.host}:{settings.port}: {error.strerror}")
    sys.exit(workers.run())


def work(settings: GatewaySettings, sockets: list[socket.socket] | None = None) -> int:
    """Be one gateway process until a signal ends it; returns the exit status."""
    app = create_app(settings)
    return server.main(app, app.state.runtime.lifecycle, settings, sockets)
