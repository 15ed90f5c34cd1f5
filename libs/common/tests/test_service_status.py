"""The state of a service, for administrators."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx2
import pytest

from parley.config.settings import ServiceSettings, load
from parley.ids import new_id
from parley.observability.metrics import Metrics
from parley.security.identity import Principal
from parley.service_status_route import service_status_router
from parley.web.app import build_app
from parley.web.runtime import PING_TIMEOUT, Runtime
from parley_testing.virtual_time import virtual_time

PATH = "/api/v1/admin/services/test"


class ScopesInTheToken:
    """Accepts a token as the list of its scopes."""

    async def verify(self, token: str) -> Principal:
        return Principal(
            user_id=new_id(),
            scopes=frozenset(token.split(",")),
            plan="default",
            session_id="s",
            client_id="c",
            issued_at=0,
            auth_time=None,
            expires_at=0,
            token=token,
        )


@contextlib.asynccontextmanager
async def wire(_settings: ServiceSettings, runtime: Runtime) -> AsyncIterator[SimpleNamespace]:
    async def ping() -> None:
        raise ConnectionRefusedError("amqp://user:hunter2@host")

    async def outbox() -> dict[str, object]:
        return {"outbox": {"pending": 3, "oldest_age_s": 61.5}}

    async def queues() -> dict[str, object]:
        return {"queues": [{"queue": "parley.dead", "waiting": 2}]}

    runtime.pings["bus"] = ping
    runtime.reports += [outbox, queues]
    yield SimpleNamespace(verifier=ScopesInTheToken())


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    settings = load(ServiceSettings, admin_port=0, public_url="https://chat.example/")
    routers = [service_status_router("test")]
    app = build_app(settings, service="test", version="1", description="x", wire=wire, routers=routers)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://t") as opened:
        yield opened


async def test_an_administrator_sees_dependencies_outbox_and_queues(client: httpx2.AsyncClient) -> None:
    found = await client.get(PATH, headers={"Authorization": "Bearer account,admin"})
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-store")
    state = found.json()
    down = {"name": "bus", "status": "down", "latency_ms": None, "detail": "connection refused"}
    assert (state["status"], state["dependencies"]) == ("degraded", [down])
    assert state["outbox"] == {"pending": 3, "oldest_age_s": 61.5}
    assert (state["queues"], state["deliveries"]) == ([{"queue": "parley.dead", "waiting": 2}], None)
    assert "hunter2" not in found.text


@pytest.mark.parametrize(("headers", "status"), [({}, 401), ({"Authorization": "Bearer account,webhooks"}, 403)])
async def test_nobody_else_sees_the_state(client: httpx2.AsyncClient, headers: dict[str, str], status: int) -> None:
    assert (await client.get(PATH, headers=headers)).status_code == status


@virtual_time
async def test_a_server_that_is_silent_delays_the_state_for_the_time_of_one_ping() -> None:
    runtime = Runtime("test", "1", load(ServiceSettings, admin_port=0), Metrics("test", "1", "-"))

    async def hang() -> dict[str, object]:
        await asyncio.sleep(3600)
        return {}

    runtime.pings["postgres"] = hang
    runtime.reports += [hang, hang]
    async with asyncio.timeout(PING_TIMEOUT + 0.1):
        found = await runtime.status()
    assert found["status"] == "degraded"


async def test_a_dependency_that_answers_too_late_once_is_up() -> None:
    runtime, attempts = Runtime("test", "1", load(ServiceSettings, admin_port=0), Metrics("test", "1", "-")), 0

    async def late() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise TimeoutError

    runtime.pings["redis"] = late
    assert (await runtime.status())["status"] == "ok"
