"""The gateway's pipeline with a fake rate limiter, fake stream leases and scripted services: no Redis, no server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway import wiring
from gateway.access.streams import OpenStreams
from gateway.http import Header, Send
from gateway.observability.access_log import AccessLog
from gateway.pipeline import Pipeline
from gateway.route_table import RouteTable
from gateway.routes import all_routes
from gateway.settings import GatewaySettings
from gateway_testing.fakes import FakeLimitChecker, FakeStreamLeases
from parley.config.settings import load
from parley.web.runtime import Runtime
from parley.web.service import make_runtime
from parley_testing.http.scripted_server import ScriptedServer, scripted_server
from parley_testing.security.token_issuer import TestIssuer


@dataclass
class AsgiClient:
    """The client side of one ASGI request or WebSocket: what it sends, and what it receives."""

    incoming: list[dict[str, Any]] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def receive(self) -> dict[str, Any]:
        if self.incoming:
            return self.incoming.pop(0)
        await asyncio.sleep(30)
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        headers: list[Header] = self.sent[0]["headers"]
        return {name.decode(): value.decode() for name, value in headers}

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def code(self) -> str:
        """The code of the problem."""
        return str(orjson.loads(self.body)["code"])


@dataclass
class TestPipeline:
    """A pipeline, its fakes, and its scripted services."""

    __test__ = False

    pipeline: Pipeline
    runtime: Runtime
    limiter: FakeLimitChecker
    leases: FakeStreamLeases
    issuer: TestIssuer
    auth: ScriptedServer
    chat: ScriptedServer
    history: ScriptedServer
    access_log: AccessLog
    log: list[bytes]

    def bearer(self, **claims: object) -> dict[str, str]:
        """Return the Authorization header of a new user."""
        return {"authorization": f"Bearer {self.issuer.sign({**self.issuer.claims(), **claims})}"}

    async def request(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        body: bytes | None = None,
    ) -> AsgiClient:
        """Send one request and return its client."""
        length = [] if body is None else [("content-length", str(len(body)))]
        given = headers.items() if isinstance(headers, Mapping) else headers or ()
        client = AsgiClient([] if body is None else [{"type": "http.request", "body": body, "more_body": False}])
        await self.pipeline(_scope("http", path, method, [*length, *given]), client.receive, client.send)
        return client

    async def websocket(
        self,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: Sequence[str] = (),
        send: Send | None = None,
    ) -> AsgiClient:
        """Open a WebSocket and return its client when it has been closed. ``send`` replaces the client's own."""
        client = AsgiClient([{"type": "websocket.connect"}])
        scope = {**_scope("websocket", path, "GET", list((headers or {}).items())), "subprotocols": subprotocols}
        await self.pipeline.websocket(scope, client.receive, send or client.send)
        return client

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the access log."""
        self.access_log.flush()
        return [orjson.loads(line) for line in b"".join(self.log).splitlines()]


@contextlib.asynccontextmanager
async def open_pipeline(**overrides: object) -> AsyncIterator[TestPipeline]:
    """Open a pipeline that is ready, with these settings."""
    issuer, limiter, leases, log = TestIssuer(), FakeLimitChecker(), FakeStreamLeases(), list[bytes]()
    async with scripted_server() as auth, scripted_server() as chat, scripted_server() as history:
        urls = {"auth_url": auth.url, "chat_url": chat.url, "history_url": history.url, "webhooks_url": history.url}
        settings = load(GatewaySettings, **{"redis_url": "redis://localhost/0", **urls, **overrides})
        runtime = make_runtime(settings, service="gateway", version="test")
        pools = wiring.make_pools(settings, runtime)
        policy = wiring.make_policy(settings, runtime, issuer.verifier(), limiter, pools)
        streams = OpenStreams(policy.find_revoked, leases, limit=settings.max_streams)
        access_log = AccessLog(log.append, service="gateway")
        routes = RouteTable(all_routes())
        pipeline = wiring.make_pipeline(settings, runtime, routes, policy, streams, pools, access_log)
        runtime.lifecycle.mark_ready()
        yield TestPipeline(pipeline, runtime, limiter, leases, issuer, auth, chat, history, access_log, log)
        wiring.close_pools(pools)
        await asyncio.sleep(0)


def _scope(kind: str, path: str, method: str, headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": kind,
        "method": method,
        "scheme": "http",
        "http_version": "1.1",
        "raw_path": path.partition("?")[0].encode(),
        "query_string": path.partition("?")[2].encode(),
        "headers": [(b"host", b"localhost"), *((name.encode(), value.encode()) for name, value in headers)],
        "client": ("127.0.0.1", 1),
        "extensions": {"websocket.http.response": {}} if kind == "websocket" else {},
    }
