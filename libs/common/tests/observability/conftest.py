"""Small services that are traced to a collector on a real socket."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter, Request, WebSocket
from structlog.testing import capture_logs

from parley.config.settings import ServiceSettings, load
from parley.errors import NotFound
from parley.web.app import build_app
from parley.web.http_client import open_client
from parley.web.runtime import Runtime
from parley_testing.telemetry.span_collector import SpanCollector, run_collector

Client = httpx2.AsyncClient
Services = Callable[..., AbstractAsyncContextManager[Client]]


def _router() -> APIRouter:
    made = APIRouter()

    @made.post("/things/{thing_id}")
    async def change(thing_id: str, request: Request) -> dict[str, Any]:
        await request.body()
        request.scope["parley"].user_id = "0197-ada"
        return structlog.contextvars.get_contextvars()

    @made.get("/missing")
    async def missing() -> None:
        raise NotFound

    @made.get("/broken/{secret}")
    async def broken(secret: str) -> None:
        raise RuntimeError(secret)

    @made.get("/asking")
    async def ask(request: Request, url: str) -> int:
        async with open_client(tracer=request.app.state.runtime.tracer) as client:
            return (await client.get(url, headers={"authorization": "hunter2"})).status_code

    @made.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    return made


@contextlib.asynccontextmanager
async def _wire(_settings: ServiceSettings, _runtime: Runtime) -> AsyncIterator[SimpleNamespace]:
    yield SimpleNamespace()


@contextlib.asynccontextmanager
async def _service(endpoint: str | None, name: str = "test", **overrides: Any) -> AsyncIterator[Client]:
    traces = {"otel_exporter_otlp_endpoint": endpoint, "otel_traces_sampler_arg": 1.0}
    settings = load(ServiceSettings, admin_port=0, **{**traces, **overrides})
    app = build_app(settings, service=name, version="7", description="x", wire=_wire, routers=[_router()])
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), Client(transport=transport, base_url="http://t") as client:
        client.app = app  # type: ignore[attr-defined]
        with capture_logs():
            yield client


@pytest.fixture
async def spans() -> AsyncIterator[SpanCollector]:
    async with run_collector() as running:
        yield running


@pytest.fixture
def service() -> Services:
    return _service
