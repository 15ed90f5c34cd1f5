"""Parley as its users run it, for black-box tests: started by its commands, known by its URLs."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx2

from parley.embedded.process import ChildProcess, Command
from parley.embedded.sockets import free_port

START_SECONDS = 60.0
PROBE_SECONDS = 1.0
CONSECUTIVE = 4
"""How many ports in a row a stack takes, twice."""


def command_path(name: str) -> str:
    """Return the installed command beside the running Python."""
    return str(Path(sys.executable).with_name(name))


def free_ports(count: int = CONSECUTIVE) -> int:
    """Return the first of ``count`` free ports in a row."""
    import socket

    while True:
        first = free_port()
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return first


def environment(**settings: str) -> dict[str, str]:
    """Return a small environment with the given settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | settings


async def answers(url: str) -> bool:
    """Say whether a GET answers 200."""
    async with httpx2.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False


class EmbeddedStack:
    """`parley run` in a folder of its own, with the provider at ``provider_url``."""

    def __init__(self, folder: Path, provider_url: str | None, settings: Mapping[str, str] | None = None) -> None:
        """Choose free ports; nothing is started yet."""
        self.folder = folder
        self.port, self.admin_port = free_ports(), free_ports()
        given = {"OPENAI_BASE_URL": provider_url} if provider_url else {}
        self._environment = environment(**given, **(settings or {}))
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The gateway."""
        return f"http://127.0.0.1:{self.port}"

    def service_url(self, offset: int) -> str:
        """Return the address of a service: 1 auth, 2 chat, 3 history."""
        return f"http://127.0.0.1:{self.port + offset}"

    @property
    def child(self) -> ChildProcess:
        """The running process."""
        assert self._child is not None
        return self._child

    async def start(self) -> None:
        """Start, and wait until the gateway is ready."""
        arguments = ["run", "--port", str(self.port), "--admin-port", str(self.admin_port)]
        self._child = ChildProcess(
            Command(
                name="parley",
                arguments=[command_path("parley"), *arguments, "--data-dir", str(self.folder / "data")],
                folder=self.folder,
                environment=self._environment,
            )
        )
        await self._child.start()
        await self._child.wait_until(lambda: answers(f"{self.url}/ready"), START_SECONDS)

    async def stop(self) -> None:
        """Stop as Ctrl-C does."""
        if self._child is not None:
            await self._child.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
