"""Parley's commands as tests start them: where they are, their ports and environment, whether they answer."""

import os
import socket
import sys
from pathlib import Path

import httpx2

from parley_embedded.sockets import free_port

PROBE_SECONDS = 1.0
CONSECUTIVE = 4
"""How many ports in a row a stack takes, twice."""


def command_path(name: str) -> str:
    """Return the installed command beside the running Python."""
    return str(Path(sys.executable).with_name(name))


def free_ports(count: int = CONSECUTIVE) -> int:
    """Return the first of ``count`` free ports in a row."""
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
