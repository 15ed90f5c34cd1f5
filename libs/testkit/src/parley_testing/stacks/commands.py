"""Commands of Parley for tests: their paths, ports, environment and readiness."""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx2

from parley_embedded.process.tool import run_tool
from parley_embedded.sockets import free_port
from parley_testing.http.client import open_http

PROBE_SECONDS = 1.0
CONSECUTIVE = 5
"""Number of consecutive ports of a stack, for the services and again for their admin ports."""


def command_path(name: str) -> str:
    """Return the path of a command in the environment of the running Python."""
    return str(Path(sys.executable).with_name(name))


def free_ports(count: int = CONSECUTIVE) -> int:
    """Return the first of ``count`` consecutive free ports."""
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
    """Return a minimal environment with the given settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH", "COVERAGE_PROCESS_CONFIG")
    return {name: os.environ[name] for name in kept if name in os.environ} | settings


async def run_parley(
    *arguments: str, settings: Mapping[str, str] | None = None, seconds: float = 180, folder: Path | None = None
) -> tuple[int, str]:
    """Run the command ``parley`` with the given settings; return its exit status and output."""
    return await run_tool(
        command_path("parley"),
        *arguments,
        seconds=seconds,
        folder=folder,
        environment=environment(**(settings or {})),
    )


async def answers(url: str) -> bool:
    """Return whether a GET request returns 200."""
    async with open_http(timeout=PROBE_SECONDS) as client:
        try:
            return (await client.get(url)).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False
