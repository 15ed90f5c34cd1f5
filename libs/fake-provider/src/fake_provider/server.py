"""HTTP server of the provider, which stops at once."""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fake_provider.client_connection import TRANSPORT

MAX_OPEN_FILES = 65_536


class TransportExposingProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which gives the application its transport so that it can break the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class ProviderServer(uvicorn.Server):
    """Server that prints its URL, and does not wait for open requests when it stops."""

    def __init__(self, config: uvicorn.Config, *, until_eof: bool) -> None:
        super().__init__(config)
        self._until_eof = until_eof

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        if self._until_eof:
            loop.add_reader(sys.stdin.fileno(), self._read_stdin)
        for listener in sockets or ():
            sys.stdout.write(f"listening on {url_of(listener)}\n")
        sys.stdout.flush()

    def stop(self) -> None:
        """Close the listeners and every connection. `serve` returns within half a second."""
        self.should_exit = True
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _read_stdin(self) -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self.stop()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(app: ASGIApp, listener: socket.socket, *, until_eof: bool = False) -> None:
    """Serve `app` on `listener` until SIGTERM, SIGINT or, with `until_eof`, the end of standard input."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=TransportExposingProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        backlog=4096,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    ProviderServer(config, until_eof=until_eof).run(sockets=[listener])


def url_of(listener: socket.socket) -> str:
    """Return the URL for clients on this machine."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def raise_file_limit() -> None:
    """Raise the limit of open files to the maximum that the system allows, at most 65,536."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
