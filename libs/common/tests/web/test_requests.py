"""Rules for every request: HEAD wherever GET, and no unknown query parameter."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs

from parley.config.settings import ServiceSettings, load
from parley.web.app import build_app
from parley.web.lifespan import lifespan
from parley.web.runtime import Runtime

router = APIRouter(prefix="/api/v1")


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x"
        await asyncio.sleep(0)


def paging(limit: int = 20, cursor: str | None = None) -> tuple[int, str | None]:
    return limit, cursor


@router.get("/things")
async def things(
    page: Annotated[tuple[int, str | None], Depends(paging)],
    kind: Annotated[list[str] | None, Query()] = None,
    day: Annotated[str | None, Query(alias="from")] = None,
) -> dict[str, object]:
    return {"limit": page[0], "kind": kind, "from": day}


@router.post("/things")
async def create() -> dict[str, object]:
    return {}


@router.get("/left")
async def left() -> None:
    raise ClientDisconnect


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    @contextlib.asynccontextmanager
    async def wire(_: ServiceSettings, __: Runtime) -> AsyncIterator[None]:
        yield

    app: FastAPI = build_app(
        load(ServiceSettings, admin_port=0),
        service="test",
        version="1",
        description="",
        wire=wire,
        routers=[router],
    )

    @app.get("/api/v1/stream")
    async def streaming() -> StreamingResponse:
        return StreamingResponse(endless(), headers={"x-stream": "1"})

    @app.get("/v1/models")
    async def lenient() -> dict[str, object]:
        return {}

    async with (
        lifespan(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as opened,
    ):
        yield opened


@pytest.mark.parametrize(
    "query", ["", "limit=5", "cursor=a&limit=5", "kind=a&kind=b", "from=x", "limit=5&kind=a&from=2026-01-01"]
)
async def test_known_parameters_pass(client: httpx2.AsyncClient, query: str) -> None:
    assert (await client.get(f"/api/v1/things?{query}")).status_code == 200


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("foo=1", "/foo", "unknown_parameter"),
        ("limit=1&Cursor=x", "/Cursor", "unknown_parameter"),
        ("foo", "/foo", "unknown_parameter"),
        ("day=2026-01-01", "/day", "unknown_parameter"),
        ("limit=1&limit=2", "/limit", "repeated_parameter"),
        ("a%2Fb=1", "/a~1b", "unknown_parameter"),
    ],
)
async def test_unknown_and_repeated_parameters_are_refused_by_name(
    client: httpx2.AsyncClient, query: str, pointer: str, code: str
) -> None:
    response = await client.get(f"/api/v1/things?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    (error,) = response.json()["errors"]
    assert (error["pointer"], error["code"]) == (pointer, code)


async def test_a_route_without_parameters_says_so_and_lenient_paths_take_any(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/v1/things?debug=1")
    assert response.json()["detail"] == "debug: this query parameter is not supported. This route has none."
    for path in ("/v1/models?api-version=1", "/health?x=1"):
        assert (await client.get(path)).status_code == 200


async def test_head_is_get_without_a_body_and_is_logged_with_its_route(client: httpx2.AsyncClient) -> None:
    got = await client.get("/api/v1/things")
    with capture_logs() as logged:
        response = await client.head("/api/v1/things")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == got.headers["content-length"]
    assert [(each["method"], each["route"]) for each in logged] == [("HEAD", "/api/v1/things")]
    for path, status in (("/api/v1/things?foo=1", 422), ("/nothing", 404), ("/health", 200)):
        assert (await client.head(path)).status_code == status


async def test_head_of_a_stream_ends_after_its_head(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(30):
        response = await client.head("/api/v1/stream")
        assert (response.status_code, response.headers["x-stream"], response.content) == (200, "1", b"")


async def test_a_client_that_leaves_is_not_an_error(client: httpx2.AsyncClient) -> None:
    with capture_logs() as logged, contextlib.suppress(AssertionError):
        await client.get("/api/v1/left")
    assert [(each["log_level"], each.get("status")) for each in logged] == [("info", 499)]
