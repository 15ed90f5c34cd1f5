"""Requests to a service: context, error responses, body limits, logs and metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Annotated, Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Query
from pydantic import Field, field_validator
from structlog.testing import capture_logs

from parley import errors
from parley.config.settings import ServiceSettings, load
from parley.web.app import JsonRoute, build_app
from parley.web.runtime import Runtime
from parley.web.schemas import RequestBody, Text
from parley.web.validation import FieldValueError

LIMIT = 1024
Client = httpx2.AsyncClient


class Credentials(RequestBody):
    username: Text = Field(min_length=3, max_length=8)
    password: Text
    tags: list[str] = Field(default=[], max_length=2)

    @field_validator("password")
    @classmethod
    def long_enough(cls, value: str) -> str:
        if len(value) < 12:
            raise FieldValueError("password_too_short", "At least 12 characters.")
        return value


def router() -> APIRouter:
    made = APIRouter(prefix="/api/v1/things", route_class=JsonRoute)

    @made.post("")
    async def create(body: Credentials) -> dict[str, int]:
        return {"length": len(body.username)}

    @made.get("")
    async def find(limit: Annotated[int, Query(ge=1, le=200)] = 50) -> dict[str, int]:
        return {"limit": limit}

    @made.get("/fail/{how}")
    async def fail(how: str) -> None:
        failures: dict[str, BaseException] = {
            "parley": errors.NotFound("No such thing.", hint="look elsewhere"),
            "busy": errors.DependencyUnavailable(retry_after=7),
            "bug": RuntimeError("hunter2"),
            "cancelled-task": asyncio.CancelledError("hunter2"),
        }
        raise failures[how]

    @made.get("/context")
    async def context() -> dict[str, Any]:
        return structlog.contextvars.get_contextvars()

    return made


@pytest.fixture
def app() -> FastAPI:
    @contextlib.asynccontextmanager
    async def wire(_settings: ServiceSettings, _runtime: Runtime) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace()

    settings = load(ServiceSettings, admin_port=0, body_limit=LIMIT, public_url="https://chat.example/")
    return build_app(settings, service="test", version="1", description="x", wire=wire, routers=[router()])


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[Client]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as opened:
        yield opened


async def test_a_response_has_a_request_id_a_duration_and_security_headers(client: Client) -> None:
    response = await client.get("/api/v1/things", headers={"x-request-id": "mine-1"})
    assert response.json() == {"limit": 50}
    assert response.headers["x-request-id"] == "mine-1"
    assert float(response.headers["x-process-time"]) >= 0
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb", "é".encode().decode("latin-1")])
async def test_an_invalid_request_id_is_replaced(client: Client, given: str) -> None:
    response = await client.get("/api/v1/things", headers=[(b"x-request-id", given.encode("latin-1"))])
    assert response.headers["x-request-id"] != given
    assert len(response.headers["x-request-id"]) == 36


async def test_an_error_is_a_problem_with_the_error_object_of_openai(client: Client) -> None:
    response = await client.get("/api/v1/things/fail/parley", headers={"x-request-id": "r"})
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "https://chat.example/docs/errors#not_found",
        "title": "Not found",
        "status": 404,
        "detail": "No such thing.",
        "instance": "/api/v1/things/fail/parley",
        "code": "not_found",
        "request_id": "r",
        "errors": [],
        "hint": "look elsewhere",
        "error": {"message": "No such thing.", "type": "invalid_request_error", "param": None, "code": "not_found"},
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"username":"ada","username":"eve","password":"correct horse"}',
        b'{"username":"ada","password":"correct horse","tags":[NaN]}',
        '{"username":"ada","password":"correct horse"}'.encode("utf-16"),
    ],
)
async def test_a_body_that_another_parser_could_read_differently_is_invalid_json(client: Client, body: bytes) -> None:
    response = await client.post("/api/v1/things", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")


async def test_an_error_keeps_its_headers(client: Client) -> None:
    response = await client.get("/api/v1/things/fail/busy")
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
    assert response.json()["error"]["type"] == "api_error"


@pytest.mark.parametrize("how", ["bug", "cancelled-task"])
async def test_an_unexpected_exception_is_a_500_without_its_message(client: Client, how: str) -> None:
    response = await client.get(f"/api/v1/things/fail/{how}")
    assert response.status_code == 500
    assert response.json()["code"] == "internal_error"
    assert "hunter2" not in response.text
    assert response.headers["x-request-id"] == response.json()["request_id"]


async def test_an_unknown_path_or_method_is_a_problem(client: Client) -> None:
    assert (await client.get("/nowhere")).json()["code"] == "not_found"
    response = await client.put("/api/v1/things", json={})
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert set(response.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}


async def test_every_invalid_field_is_named_and_no_value_is_echoed(client: Client) -> None:
    body = {"username": "ab", "password": "hunter2", "tags": ["a", "b", "c"], "extra/one": "hunter2"}
    response = await client.post("/api/v1/things", json=body)
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": "/username", "code": "too_short", "detail": "At least 3 characters."},
        {"pointer": "/password", "code": "password_too_short", "detail": "At least 12 characters."},
        {"pointer": "/tags", "code": "too_long", "detail": "At most 2 entries."},
        {"pointer": "/extra~1one", "code": "unknown_member", "detail": "This field is not supported."},
    ]
    assert response.json()["error"]["param"] == "username"
    assert "hunter2" not in response.text


async def test_a_missing_field_does_not_echo_the_body(client: Client) -> None:
    response = await client.post("/api/v1/things", json={"password": "hunter2-hunter2"})
    assert response.json()["errors"] == [
        {"pointer": "/username", "code": "required", "detail": "This field is required."}
    ]
    assert "hunter2" not in response.text


async def test_text_that_postgres_cannot_store_is_rejected(client: Client) -> None:
    for text in (r'"nul\u0000x"', r'"lone\ud800"'):
        body = b'{"username": %s, "password": "long enough for it"}' % text.encode()
        response = await client.post("/api/v1/things", content=body, headers={"content-type": "application/json"})
        assert response.status_code in {400, 422}
        assert response.json()["code"] in {"validation_failed", "invalid_json"}


async def test_a_query_parameter_out_of_range_is_named(client: Client) -> None:
    response = await client.get("/api/v1/things?limit=201")
    assert response.json()["errors"] == [
        {"pointer": "/limit", "code": "less_than_equal", "detail": "Must be at most 200."}
    ]


async def test_invalid_json_is_a_400_and_another_content_type_is_a_415(client: Client) -> None:
    headers = {"content-type": "application/json"}
    response = await client.post("/api/v1/things", content=b'{"a":', headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")
    response = await client.post("/api/v1/things", content=b"{}", headers={"content-type": "text/plain"})
    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_over_the_limit_is_rejected_with_and_without_content_length(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * 512

    headers = {"content-type": "application/json"}
    for content in (b" " * (LIMIT + 1), chunks()):
        response = await client.post("/api/v1/things", content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (413, "body_too_large")
        assert response.json()["detail"] == f"The request body is too large: at most {LIMIT} bytes are accepted."


async def test_a_request_is_logged_once_with_its_route_and_never_its_path(app: FastAPI, client: Client) -> None:
    with capture_logs() as logged:
        await client.get("/api/v1/things/fail/parley")
        await client.get("/health")
    (line,) = [entry for entry in logged if entry["event"] == "request"]
    assert (line["route"], line["status"], line["method"]) == ("/api/v1/things/fail/{how}", 404, "GET")
    assert "hunter2" not in str(logged)
    labels = {
        "http_request_method": "GET",
        "http_route": "/api/v1/things/fail/{how}",
        "http_response_status_code": "404",
    }
    count = app.state.runtime.metrics.registry.get_sample_value("http_server_request_duration_seconds_count", labels)
    assert count == 1


async def test_unmatched_paths_share_one_metric_label(app: FastAPI, client: Client) -> None:
    for number in range(3):
        await client.get(f"/made/up/{number}")
    registry = app.state.runtime.metrics.registry
    labels = {"http_request_method": "GET", "http_route": "unmatched", "http_response_status_code": "404"}
    assert registry.get_sample_value("http_server_request_duration_seconds_count", labels) == 3
    assert registry.get_sample_value("http_server_active_requests") == 0


async def test_each_request_has_a_fresh_log_context(client: Client) -> None:
    with structlog.contextvars.bound_contextvars(left_behind="x"):
        found = (await client.get("/api/v1/things/context", headers={"x-request-id": "r"})).json()
    assert found == {"service": "test", "request_id": "r"}


async def test_a_service_is_ready_until_it_drains(app: FastAPI, client: Client) -> None:
    assert (await client.get("/ready")).status_code == 200
    assert (await client.get("/health")).json() == {"status": "ok", "service": "test", "version": "1"}
    app.state.runtime.lifecycle.start_draining()
    response = await client.get("/ready")
    assert (response.status_code, response.json()) == (503, {"status": "draining"})


async def test_a_draining_service_responds_and_closes_the_connection(app: FastAPI, client: Client) -> None:
    assert "connection" not in (await client.get("/api/v1/things/context")).headers
    app.state.runtime.lifecycle.start_draining()
    for path in ("/api/v1/things/context", "/nowhere"):
        assert (await client.get(path)).headers["connection"] == "close"


@pytest.mark.parametrize("build", [errors.ParleyError, errors.NotFound, errors.RateLimited])
def test_the_default_detail_of_an_error_is_its_docstring(build: Callable[[], errors.ParleyError]) -> None:
    assert build().detail == str(build.__doc__).splitlines()[0]
