"""The gateway as its own processes, in front of one scripted service."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import httpx2
import orjson

from parley_embedded.sockets import free_port
from parley_testing import eventually
from parley_testing.http.client import open_http
from parley_testing.http.scripted_server import RecordedRequest, Responder, respond, scripted_server
from parley_testing.security.token_issuer import TestIssuer

MAX_CLIENTS = 200
PROGRAM = str(Path(sys.executable).parent / "parley-gateway")


class GatewayProcess:
    """A running ``parley-gateway`` command."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, issuer: TestIssuer) -> None:
        self.process, self.port, self.issuer = process, port, issuer

    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.issuer.token()}"}

    def client(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=MAX_CLIENTS)
        return open_http(f"http://127.0.0.1:{self.port}", timeout=20, limits=limits)

    async def is_ready(self) -> bool:
        try:
            async with self.client() as client:
                return bool((await client.get("/ready")).status_code == 200)
        except httpx2.HTTPError:
            return False


class RunGatewayProcess(Protocol):
    """Runs the gateway command with environment variables. ``answer`` is the response of all services."""

    def __call__(
        self, answer: Responder, command: Sequence[str] = (PROGRAM,), /, **environment: object
    ) -> AbstractAsyncContextManager[GatewayProcess]: ...


def process_runner(redis_url: str) -> RunGatewayProcess:
    """Return a runner of gateway processes that use this Redis."""

    @contextlib.asynccontextmanager
    async def run(
        answer: Responder, command: Sequence[str] = (PROGRAM,), /, **environment: object
    ) -> AsyncIterator[GatewayProcess]:
        issuer, port = TestIssuer(), free_port()

        async def respond_or_keys(seen: RecordedRequest, writer: asyncio.StreamWriter) -> None:
            keys = respond(200, orjson.dumps(issuer.jwks()))
            await (keys if seen.target.endswith("jwks.json") else answer)(seen, writer)

        async with scripted_server(respond_or_keys) as services:
            values = {
                "PORT": port, "ADMIN_PORT": 0, "REDIS_URL": redis_url, "AUTH_URL": services.url,
                "CHAT_URL": services.url, "HISTORY_URL": services.url, "LOG_LEVEL": "warning",
                "RATE_LIMIT_PATIENCE": 3, **environment,
            }  # fmt: skip
            env = {**os.environ, **{name: str(value) for name, value in values.items()}}
            process = await asyncio.create_subprocess_exec(*command, env=env)
            try:
                gateway = GatewayProcess(process, port, issuer)
                await eventually(gateway.is_ready, within=60)
                yield gateway
            finally:
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                    async with asyncio.timeout(20):
                        await process.wait()

    return run
