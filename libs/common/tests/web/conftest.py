"""A service with the routes of a test."""

import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from parley.config.settings import ServiceSettings, load
from parley.web.app import build_app
from parley.web.runtime import Runtime


@contextlib.asynccontextmanager
async def _wire(_settings: ServiceSettings, _runtime: Runtime) -> AsyncIterator[SimpleNamespace]:
    yield SimpleNamespace()


@pytest.fixture
def build_service() -> Callable[..., FastAPI]:
    """Build a service with these routes and settings."""

    def build(router: APIRouter, **settings: Any) -> FastAPI:
        loaded = load(ServiceSettings, admin_port=0, public_url="https://chat.example/", **settings)
        return build_app(loaded, service="test", version="1", description="x", wire=_wire, routers=[router])

    return build


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the module's fixture ``app``."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as opened:
        yield opened
