"""A small service that sends its spans to a collector, for tests of tracing."""

import contextlib
from collections.abc import AsyncIterator, MutableMapping
from types import SimpleNamespace
from typing import Any

import httpx2
import structlog
from fastapi import APIRouter, Request, WebSocket

from parley.config.settings import ServiceSettings, load
from parley.errors import NotFound
from parley.web.app import build_app
from parley.web.http_client import open_client
from parley.web.runtime import Runtime
from parley_testing.telemetry.captured_logs import captured_logs

USER_ID = "0197-ada"


class ServiceClient(httpx2.AsyncClient):
    """Calls a service in this process; has its runtime, and the log lines written while it runs and stops."""

    runtime: Runtime
    logs: list[MutableMapping[str, Any]]


@contextlib.asynccontextmanager
async def traced_service(
    endpoint: str | None, name: str = "test", **overrides: str | float | bool
) -> AsyncIterator[ServiceClient]:
    """Run the service while the context is open; all traces are sampled unless ``overrides`` has other settings."""
    traces = {"otel_exporter_otlp_endpoint": endpoint, "otel_traces_sampler_arg": 1.0}
    settings = load(ServiceSettings, admin_port=0, **{**traces, **overrides})
    app = build_app(settings, service=name, version="7", description="x", wire=_wire, routers=[_router()])
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    with captured_logs() as logs:
        async with (
            app.router.lifespan_context(app),
            ServiceClient(transport=transport, base_url="http://service") as client,
        ):
            client.runtime, client.logs = app.state.runtime, logs
            yield client


@contextlib.asynccontextmanager
async def _wire(_settings: ServiceSettings, _runtime: Runtime) -> AsyncIterator[SimpleNamespace]:
    yield SimpleNamespace()


def _router() -> APIRouter:
    router = APIRouter()

    @router.post("/things/{thing_id}")
    async def change(thing_id: str, request: Request, q: str = "") -> dict[str, Any]:
        """Return the log context of the request."""
        del q
        await request.body()
        request.scope["parley"].user_id = USER_ID
        return structlog.contextvars.get_contextvars()

    @router.get("/missing")
    async def missing() -> None:
        raise NotFound

    @router.get("/broken/{secret}")
    async def broken(secret: str) -> None:
        raise RuntimeError(secret)

    @router.get("/call")
    async def call(request: Request, url: str) -> int:
        """Call another service and return the status of its response."""
        async with open_client(tracer=request.app.state.runtime.tracer) as client:
            return (await client.get(url, headers={"authorization": "hunter2"})).status_code

    @router.websocket("/socket")
    async def socket(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    return router
