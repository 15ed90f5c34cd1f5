"""Connections of a Postgres pool, which fail at once while their server is lost."""

import weakref
from typing import Any

import asyncpg


class ServerLost(OSError):
    """The server did not respond to a probe. No statement waits for it until another probe succeeds."""


class ConnectionGate:
    """Opens the connections of a pool, and refuses to while the server is lost."""

    def __init__(self) -> None:
        self.lost = False
        self._open: weakref.WeakSet[asyncpg.Connection[asyncpg.Record]] = weakref.WeakSet()
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    async def connect(self, *arguments: Any, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection for the pool, which takes this method in place of ``asyncpg.connect``."""
        if self.lost:
            raise ServerLost("The server does not respond.")
        self._arguments = (arguments, options)
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(*arguments, **options)
        if self.lost:  # since this connection was begun
            connection.terminate()
            raise ServerLost("The server does not respond.")
        self._open.add(connection)
        return connection

    async def open_probe(self) -> "asyncpg.Connection[asyncpg.Record]":
        """Open a connection outside the pool, also while the server is lost."""
        arguments, options = self._arguments
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(*arguments, **options)
        return connection

    def close(self) -> None:
        """Fail statements that wait for the server, and later ones, until ``open`` is called."""
        self.lost = True
        for connection in list(self._open):
            connection.terminate()

    def open(self) -> None:
        """Let the pool connect again."""
        self.lost = False
