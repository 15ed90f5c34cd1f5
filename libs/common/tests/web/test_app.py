"""Requests to a service: context, error responses, drain, logs and metrics."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Query

from parley import errors
from parley.web.app import JsonRoute
from parley_testing.telemetry.captured_logs import captured_logs

Client = httpx2.AsyncClient


def router() -> APIRouter:
    made = APIRouter(prefix="/api/v1/things", route_class=JsonRoute)

    @made.post("")
    async def create() -> None: ...

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
def app(build_service: Callable[..., FastAPI]) -> FastAPI:
    return build_service(router())


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


async def test_a_request_is_logged_once_with_its_route_and_never_its_path(app: FastAPI, client: Client) -> None:
    with captured_logs() as logged:
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
