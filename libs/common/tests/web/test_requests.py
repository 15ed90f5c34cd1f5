"""Rules for every request: HEAD wherever GET, and no unknown query parameter."""

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from parley.config.settings import ServiceSettings, load
from parley.web.app import build_app
from parley.web.lifespan import lifespan
from parley.web.runtime import Runtime
from parley_testing.telemetry.captured_logs import captured_logs

router = APIRouter(prefix="/api/v1")
internal = APIRouter(prefix="/internal")


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


@router.get("/typed")
@internal.get("/typed")
async def typed(
    limit: int | None = None,
    on: bool | None = None,
    date: dt.date | None = None,
    time: dt.datetime | None = None,
    id: UUID | None = None,  # noqa: A002 - the parameter's name
) -> dict[str, object]:
    return {}


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
        routers=[router, internal],
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


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=1_0", "must be an integer"),
        ("limit=%2B1", "must be an integer"),
        ("limit=1.0", "must be an integer"),
        ("limit=01", "must be an integer"),
        ("limit=%D9%A3", "must be an integer"),
        ("limit=9" + "0" * 30, "must be an integer"),
        ("limit=", "must be an integer"),
        ("on=yes", "must be true or false"),
        ("on=1", "must be true or false"),
        ("on=TRUE", "must be true or false"),
        ("date=-0", "must be a date, for example 2026-11-22"),
        ("date=1795307719", "must be a date, for example 2026-11-22"),
        ("date=2026-11-22T00:00:00Z", "must be a date, for example 2026-11-22"),
        ("time=1795307719", "must be a time with a time zone, for example 2026-11-22T10:00:00Z"),
        ("id=01A200A7-0000-7000-8000-000000000001", "must be a UUID in lower case"),
        ("id=%7B01a200a7-0000-7000-8000-000000000001%7D", "must be a UUID in lower case"),
        ("id=01a200a7000070008000000000000001", "must be a UUID in lower case"),
    ],
)
async def test_a_parameter_has_one_spelling(client: httpx2.AsyncClient, query: str, detail: str) -> None:
    response = await client.get(f"/api/v1/typed?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert response.json()["detail"] == f"{query.partition('=')[0]}: {detail}"


async def test_parameters_in_their_spelling_pass(client: httpx2.AsyncClient) -> None:
    query = "limit=-5&on=false&date=2026-11-22&time=2026-11-22T10:00:00Z&id=01a200a7-0000-7000-8000-000000000001"
    assert (await client.get(f"/api/v1/typed?{query}")).status_code == 200


async def test_services_may_spell_the_parameters_of_their_routes_as_before(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/internal/typed?on=1")).status_code == 200
    assert (await client.get("/internal/typed?off=1")).status_code == 422


@pytest.mark.parametrize("query", ["from=%ff", "from=%ed%a0%80", "%ff=1"])
async def test_a_query_string_that_is_not_utf8_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    response = await client.get(f"/api/v1/things?{query}")
    assert (response.status_code, response.json()["detail"]) == (422, "The query string must be UTF-8.")


async def test_a_route_without_a_body_refuses_content(client: httpx2.AsyncClient) -> None:
    for content in (b"", b"{}", b" {} "):
        assert (await client.post("/api/v1/things", content=content)).status_code == 200
    for content in (b'{"a": 1}', b"\x00\xff", b"[]"):
        response = await client.post("/api/v1/things", content=content)
        assert (response.status_code, response.json()["detail"]) == (422, "This route has no request body. Send none.")


async def test_a_compressed_body_is_refused(client: httpx2.AsyncClient) -> None:
    for encoding, status in (("gzip", 415), ("GZIP", 415), ("identity", 200)):
        response = await client.post("/api/v1/things", headers={"Content-Encoding": encoding})
        assert response.status_code == status
    assert "Omit Content-Encoding" in (await client.post("/x", headers={"Content-Encoding": "br"})).json()["detail"]


async def test_a_route_without_parameters_says_so_and_lenient_paths_take_any(client: httpx2.AsyncClient) -> None:
    response = await client.post("/api/v1/things?debug=1")
    assert response.json()["detail"] == "debug: this query parameter is not supported. This route has none."
    for path in ("/v1/models?api-version=1", "/health?x=1"):
        assert (await client.get(path)).status_code == 200


async def test_head_is_get_without_a_body_and_is_logged_with_its_route(client: httpx2.AsyncClient) -> None:
    got = await client.get("/api/v1/things")
    with captured_logs() as logged:
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
    with captured_logs() as logged, contextlib.suppress(AssertionError):
        await client.get("/api/v1/left")
    assert [(each["log_level"], each.get("status")) for each in logged] == [("info", 499)]
