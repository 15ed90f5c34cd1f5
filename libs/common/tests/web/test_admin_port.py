"""The admin port: probes, metrics and status, served while the event loop is blocked."""

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

from parley.config.settings import ServiceSettings, load
from parley.web.admin_port import MAX_CONNECTIONS, serve_admin
from parley.web.runtime import Runtime
from parley.web.service import make_runtime
from parley_testing import eventually


class AdminAnswer(NamedTuple):
    status: int
    body: str

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.body)
        return found


def get(port: int, path: str) -> AdminAnswer:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
            return AdminAnswer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return AdminAnswer(error.code, error.read().decode())


@pytest.fixture
def runtime() -> Runtime:
    return make_runtime(load(ServiceSettings, admin_port=0), service="chat", version="1")


@pytest.fixture
async def port(runtime: Runtime) -> AsyncIterator[int]:
    async with serve_admin(runtime) as found:
        yield found


async def test_probes_follow_the_lifecycle(runtime: Runtime, port: int) -> None:
    assert await asyncio.to_thread(get, port, "/ready") == (503, '{"status":"starting"}')
    runtime.lifecycle.mark_ready()
    assert await asyncio.to_thread(get, port, "/ready") == (200, '{"status":"ready"}')
    assert (await asyncio.to_thread(get, port, "/health")).json["status"] == "ok"


async def test_a_service_whose_database_refuses_writes_is_not_ready_and_says_why(runtime: Runtime, port: int) -> None:
    runtime.lifecycle.mark_ready()
    runtime.lifecycle.unavailable = "database_read_only"
    unavailable = '{"status":"unavailable","reason":"database_read_only"}'
    assert await asyncio.to_thread(get, port, "/ready") == (503, unavailable)
    runtime.lifecycle.unavailable = None
    assert (await asyncio.to_thread(get, port, "/ready")).status == 200


async def test_a_service_with_a_server_is_ready_when_the_server_listens(runtime: Runtime, port: int) -> None:
    runtime.lifecycle.expect_server()
    runtime.lifecycle.mark_wired()
    assert (await asyncio.to_thread(get, port, "/ready")).status == 503
    runtime.lifecycle.mark_ready()
    assert (await asyncio.to_thread(get, port, "/ready")).status == 200


async def test_a_blocked_event_loop_does_not_delay_a_probe(runtime: Runtime, port: int) -> None:
    with ThreadPoolExecutor(1) as executor:
        probe = executor.submit(get, port, "/health")
        assert probe.result(timeout=30).status == 200, "waiting here blocks the loop until the probe is answered"


async def test_a_loop_without_ticks_is_reported_as_hung(runtime: Runtime, port: int) -> None:
    runtime.lifecycle.last_tick -= 31
    found = await asyncio.to_thread(get, port, "/health")
    assert (found.status, found.json["status"]) == (503, "hung")


async def test_metrics_are_those_of_this_service(runtime: Runtime, port: int) -> None:
    runtime.metrics.events_published.labels("user.erased").inc()
    found = await asyncio.to_thread(get, port, "/metrics")
    assert 'events_published_total{type="user.erased"} 1.0' in found.body


async def test_status_contains_every_dependency_and_no_address(runtime: Runtime, port: int) -> None:
    async def fails() -> None:
        raise LookupError("amqp://user:hunter2@host")

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def works() -> None:
        pass

    async def report() -> dict[str, object]:
        return {"outbox": {"pending": 3}}

    runtime.pings.update(bus=fails, redis=hangs, postgres=works)
    runtime.reports.extend([report, fails])  # type: ignore[list-item]
    found = await asyncio.to_thread(get, port, "/status")
    assert "hunter2" not in found.body
    assert found.json["status"] == "degraded"
    assert found.json["outbox"] == {"pending": 3}
    dependencies = found.json["dependencies"]
    assert isinstance(dependencies, list)
    assert [(d["name"], d["status"], d["detail"]) for d in dependencies] == [
        ("bus", "down", "LookupError"),
        ("redis", "down", "timed out"),
        ("postgres", "up", None),
    ]


async def test_an_unknown_path_is_404_and_the_port_closes_on_exit(runtime: Runtime) -> None:
    async with serve_admin(runtime) as port:
        assert (await asyncio.to_thread(get, port, "/docs")).status == 404
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(get, port, "/health")


async def test_silent_connections_do_not_keep_probes_out(port: int) -> None:
    before = threading.active_count()
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_CONNECTIONS * 3)]
    try:
        assert (await asyncio.to_thread(get, port, "/health")).status == 200
        await eventually(lambda: threading.active_count() <= before + MAX_CONNECTIONS + 5)
    finally:
        for each in silent:
            each.close()
