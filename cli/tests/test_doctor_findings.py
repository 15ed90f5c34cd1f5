"""`parley doctor` on a running system: each finding, with a real fault or a double of the server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any, Self

import pytest

from parley_cli.diagnosis import rabbitmq_checks
from parley_cli.diagnosis.checks import check_system
from parley_cli.diagnosis.findings import Finding, as_document, exit_status
from parley_cli.diagnosis.postgres_checks import check_migrations
from parley_cli.diagnosis.probes import Probe, run_all
from parley_cli.diagnosis.rabbitmq_checks import check_dead_letters, check_queue
from parley_cli.diagnosis.system import System
from parley_testing.fakes.redis_server import Reply, fake_redis_server
from parley_testing.http.scripted_server import RecordedRequest, ScriptedServer
from parley_testing.stacks.commands import free_ports
from parley_testing.virtual_time import virtual_time

PASSWORD = "canary-8f2d"
INFO = b"redis_version:7.2.4\r\nrole:master\r\nused_memory:95\r\nmaxmemory:100\r\n"


def codes(found: list[Finding]) -> set[str]:
    return {finding.code for finding in found if finding.code != "ok"}


async def diagnose(**parts: Any) -> list[Finding]:
    found, _ = await check_system(System(folders={}, **parts), 3)
    return found


def redis_that_answers(write: Reply, *, ahead: float = 0) -> Callable[[list[bytes]], Reply]:
    def respond(command: list[bytes]) -> Reply:
        if command[0] == b"TIME":
            now = time.time() + ahead
            return [str(int(now)).encode(), str(int(now % 1 * 1e6)).encode()]
        return INFO if command[0] == b"INFO" else write

    return respond


@pytest.fixture
async def service() -> AsyncIterator[ScriptedServer]:
    """A service whose responses are in ``pages``: path to status, headers and body."""
    server = ScriptedServer(lambda request, writer: _respond(server, request, writer), returns_health=False)
    server.pages = {}  # type: ignore[attr-defined]
    await server.start()
    yield server
    await server.stop()


async def _respond(server: ScriptedServer, request: RecordedRequest, writer: asyncio.StreamWriter) -> None:
    status, headers, body = server.pages[request.target]  # type: ignore[attr-defined]
    text = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"content-length: {len(text)}", *(f"{k}: {v}" for k, v in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode() + text)


def pages(*, ready: int = 200, ahead: float = 0, dependencies: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    date = {"date": formatdate(time.time() + ahead, usegmt=True)}
    return {
        "/health": (200, date, {"version": "1.2.3"}),
        "/ready": (ready, {}, {"status": "unavailable", "reason": "database_read_only"}),
        "/status": (200, {}, {"uptime_s": 1, "dependencies": dependencies or []}),
    }


async def test_a_lost_redis_is_a_fault() -> None:
    assert codes(await diagnose(redis={f"redis://:{PASSWORD}@127.0.0.1:{free_ports()}"})) == {"redis_unreachable"}


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Exception("READONLY You can't write against a read only replica."), "redis_read_only"),
        (Exception("OOM command not allowed when used memory > 'maxmemory'."), "redis_full"),
        (Exception("NOPERM this user has no permissions"), "redis_refused"),
    ],
)
async def test_a_redis_that_refuses_writes_is_a_fault(answer: Exception, code: str) -> None:
    async with fake_redis_server(redis_that_answers(answer)) as server:
        found = await diagnose(redis={server.url})
    assert code in codes(found)
    assert exit_status(found) == 1


async def test_a_nearly_full_redis_is_a_warning() -> None:
    async with fake_redis_server(redis_that_answers("OK")) as server:
        found = await diagnose(redis={server.url})
    assert codes(found) == {"redis_nearly_full"}
    assert exit_status(found) == 0
    assert found[0].facts["version"] == "7.2.4"


async def test_a_clock_of_redis_that_is_ahead_is_a_fault() -> None:
    async with fake_redis_server(redis_that_answers("OK", ahead=60)) as server:
        found = await diagnose(redis={server.url})
    (skewed,) = [finding for finding in found if finding.code == "clock_skew"]
    assert (skewed.status, round(skewed.facts["skew_s"])) == ("fault", 60)


async def test_a_server_that_says_nothing_costs_only_the_time_limit() -> None:
    async with fake_redis_server(redis_that_answers("OK")) as server:
        with server.frozen():
            found, took_ms = await check_system(System(folders={}, redis={server.url}), 0.3)
    assert codes(found) == {"redis_unreachable"}
    assert took_ms < 30_000


async def test_a_service_that_does_not_answer_is_a_fault() -> None:
    found = await diagnose(services={"chat": {f"http://127.0.0.1:{free_ports()}"}})
    assert codes(found) == {"service_unreachable"}


async def test_a_malformed_address_is_a_fault_of_its_service_alone() -> None:
    found = await diagnose(services={"chat": {"http://chat:port"}, "auth": {f"http://127.0.0.1:{free_ports()}"}})
    assert {each.target: each.code for each in found} == {"chat": "check_failed", "auth": "service_unreachable"}


async def test_a_service_that_is_not_ready_says_why(service: ScriptedServer) -> None:
    service.pages = pages(ready=503)  # type: ignore[attr-defined]
    (found,) = [each for each in await diagnose(services={"chat": {service.url}}) if each.status != "ok"]
    assert (found.code, "database_read_only" in found.summary) == ("service_not_ready", True)


@pytest.mark.parametrize("ahead", [60, -60])
async def test_a_replica_whose_clock_differs_is_found_by_its_date_header(service: ScriptedServer, ahead: int) -> None:
    service.pages = pages(ahead=ahead)  # type: ignore[attr-defined]
    assert codes(await diagnose(services={"chat": {service.url}})) == {"clock_skew"}
    assert codes(await diagnose(admin={"chat": service.url})) == {"clock_skew"}


async def test_a_process_whose_event_loop_hangs_is_a_fault(service: ScriptedServer) -> None:
    service.pages = pages() | {"/status": (503, {}, {"status": "hung"})}  # type: ignore[attr-defined]
    assert codes(await diagnose(admin={"chat": service.url})) == {"service_unreachable"}


async def test_a_dependency_that_a_service_cannot_use_is_a_fault(service: ScriptedServer) -> None:
    down = [
        {"name": "redis", "status": "down", "detail": "timed out"},
        {"name": "provider", "status": "down", "detail": "the API key is refused"},
    ]
    service.pages = pages(dependencies=down)  # type: ignore[attr-defined]
    assert codes(await diagnose(admin={"chat": service.url})) == {"service_dependency", "provider_key_refused"}


async def test_a_lost_postgres_and_a_lost_rabbitmq_are_faults() -> None:
    found = await diagnose(
        databases={"chat": f"postgresql://u:{PASSWORD}@127.0.0.1:{free_ports()}/x"},
        rabbitmq={f"amqp://u:{PASSWORD}@127.0.0.1:{free_ports()}/"},
    )
    assert codes(found) == {"postgres_unreachable", "rabbitmq_unreachable"}


async def test_no_address_and_no_secret_is_printed() -> None:
    found = await diagnose(
        databases={"chat": f"postgresql://u:{PASSWORD}@127.0.0.1:{free_ports()}/x"},
        redis={f"redis://:{PASSWORD}@127.0.0.1:{free_ports()}"},
        rabbitmq={f"amqp://u:{PASSWORD}@127.0.0.1:{free_ports()}/"},
    )
    printed = json.dumps(as_document(found, took_ms=1)) + "".join(each.as_line() for each in found)
    assert PASSWORD not in printed
    assert "127.0.0.1" not in printed


async def test_a_failed_check_does_not_show_the_message_of_its_error() -> None:
    async def fail() -> list[Finding]:
        raise RuntimeError(PASSWORD)

    (found,) = await run_all([Probe("x", "y", "check_failed", fail)], 1)
    assert (found.code, PASSWORD in found.as_line()) == ("check_failed", False)


def test_pending_changed_and_unknown_migrations_are_found() -> None:
    assert check_migrations("chat", {}, "chat").code == "migrations_pending"
    complete = check_migrations("chat", {}, "chat").facts["pending"]
    applied = {(name.split()[0], int(name.split()[1])): "other" for name in complete}
    assert check_migrations("chat", applied, "chat").code == "migrations_changed"


@pytest.mark.parametrize(
    ("depth", "code"),
    [(None, "queue_missing"), ((3, 0), "queue_unread"), ((5000, 1), "queue_long"), ((3, 1), "ok")],
)
def test_a_queue_is_judged_by_its_messages_and_consumers(depth: tuple[int, int] | None, code: str) -> None:
    assert check_queue("rabbitmq", "history.turns", depth).code == code


class BlockedBroker:
    """A connection to a broker with an alarm: after a message it reads nothing more."""

    transport, is_closed = None, False

    def __init__(self) -> None:
        self.default_exchange, self.declaration_result = self, SimpleNamespace(message_count=0, consumer_count=1)
        self._published = False

    async def channel(self, **_options: Any) -> Self:
        return self

    async def declare_queue(self, _name: str, *, passive: bool) -> Self:
        await self._answer()
        return self

    async def publish(self, *_arguments: Any, **_options: Any) -> None:
        self._published = True
        await self._answer()

    async def close(self) -> None:
        await self._answer()

    async def _answer(self) -> None:
        if self._published:
            await asyncio.sleep(3600)


@pytest.mark.parametrize(("connecting", "limit"), [(0, 5), (20, 60)])
@virtual_time
async def test_a_broker_that_takes_no_messages_is_found_within_the_time_limit(connecting: int, limit: int) -> None:
    async def connect(_url: str, _name: str, timeout: float) -> BlockedBroker:
        async with asyncio.timeout(timeout):
            await asyncio.sleep(connecting)
        return BlockedBroker()

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(rabbitmq_checks, "connect", connect)
        found, _ = await check_system(System(folders={}, rabbitmq={"amqp://broker/"}, admin={"x": "y"}), limit)
    assert {each.code for each in found if each.target == "rabbitmq"} == {"ok", "rabbitmq_blocked"}


def test_dead_letters_are_a_fault() -> None:
    assert check_dead_letters("rabbitmq", (2, 0)).code == "dead_letters"
    assert check_dead_letters("rabbitmq", (0, 0)).code == "ok"
