"""All client connections of one server, and the deadlines they are held to."""

import asyncio
import time
from typing import Any

from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.access.stream_leases import portions
from gateway.server.protocol import EdgeProtocol
from gateway.settings import GatewaySettings

SWEEP = 0.5
"""Seconds in which the deadlines of all clients are looked at, some at a time."""


class Edge:
    """All client connections of one server, and the deadlines they are held to."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Take the limits and deadlines."""
        self.settings = settings
        self.clients: set[EdgeProtocol] = set()

    def protocol(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> EdgeProtocol:
        """Make the protocol of one connection: what ``uvicorn.Config(http=…)`` takes."""
        return EdgeProtocol(config, server_state, app_state, _loop, settings=self.settings, clients=self.clients)

    async def watch(self) -> None:
        """Close what is too slow, for ever."""
        while True:
            clients = list(self.clients)
            for some in portions(clients):
                now = time.monotonic()
                for client in self.clients.intersection(some):
                    client.check(now)
                await asyncio.sleep(SWEEP * len(some) / len(clients))
            if not clients:
                await asyncio.sleep(SWEEP)
