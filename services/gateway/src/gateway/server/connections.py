"""All client connections of one server, and the check of their deadlines."""

import asyncio
import time
from typing import Any

from gateway.server.connection_limits import ConnectionLimits, SubjectOf
from gateway.server.protocol import ServerProtocol
from gateway.server.refusals import CountRefusal
from gateway.server.uvicorn_internals import Config, ServerState
from gateway.settings import GatewaySettings
from gateway.spread_work import spread_over

CHECK_INTERVAL = 0.5
"""Seconds in which the deadlines of all connections are checked once."""


class ClientConnections:
    """The open client connections of one server."""

    def __init__(self, settings: GatewaySettings, subject_of: SubjectOf, count_refused: CountRefusal) -> None:
        self.settings, self.count_refused = settings, count_refused
        self.open: set[ServerProtocol] = set()
        self.limits = ConnectionLimits(
            total=settings.max_connections,
            per_address=settings.max_connections_per_address,
            subject_of=subject_of,
        )

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> ServerProtocol:
        """Create the protocol of one connection. This is the factory that ``uvicorn.Config(http=…)`` expects."""
        return ServerProtocol(
            config,
            server_state,
            app_state,
            _loop,
            settings=self.settings,
            connections=self.open,
            limits=self.limits,
            count_refused=self.count_refused,
        )

    async def enforce_deadlines(self) -> None:
        """Close connections that are over their deadline or below the minimum data rate. Runs forever."""
        while True:
            async for batch in spread_over(CHECK_INTERVAL, list(self.open)):
                now = time.monotonic()
                for connection in self.open.intersection(batch):
                    connection.check_deadlines(now)
