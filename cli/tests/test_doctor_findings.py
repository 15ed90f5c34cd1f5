"""`parley doctor` on a running system: each finding, with a real fault or a double of the server."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from parley_cli.diagnosis import certificate_checks, disk_checks, rabbitmq_checks
from parley_cli.diagnosis.addresses import tls_address
from parley_cli.diagnosis.advice import ADVICE, RUNBOOK
from parley_cli.diagnosis.checks import check_system, numbered
from parley_cli.diagnosis.clocks import check_clock
from parley_cli.diagnosis.findings import Finding, as_document, exit_status, fault, warning
from parley_cli.diagnosis.postgres_checks import check_migrations
from parley_cli.diagnosis.probes import Probe, run_all
from parley_cli.diagnosis.rabbitmq_checks import check_dead_letters, check_queue
from parley_cli.diagnosis.service_checks import compare_versions
from parley_cli.diagnosis.system import System, read_system
from parley_cli.main import build
from parley_testing.fakes.redis_server import Reply, fake_redis_server
from parley_testing.http.scripted_server import RecordedRequest, ScriptedServer
from parley_testing.stacks.commands import free_ports
from parley_testing.virtual_time import virtual_time

ROOT = Path(__file__).parents[2]
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
    server = ScriptedServer(lambda request, writer: _respond(server, request, writer))
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

    transport = None

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


@virtual_time
async def test_a_broker_that_takes_no_messages_is_found_within_the_default_time_limit() -> None:
    async def connect(_url: str, _name: str) -> BlockedBroker:
        return BlockedBroker()

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(rabbitmq_checks, "connect", connect)
        found, _ = await check_system(System(folders={}, rabbitmq={"amqp://broker/"}, admin={"x": "y"}), 5)
    assert {each.code for each in found if each.target == "rabbitmq"} == {"ok", "rabbitmq_blocked"}


def test_dead_letters_are_a_fault() -> None:
    assert check_dead_letters("rabbitmq", (2, 0)).code == "dead_letters"
    assert check_dead_letters("rabbitmq", (0, 0)).code == "ok"


@pytest.mark.parametrize(("days", "code"), [(-1, "certificate_expired"), (5, "certificate_expires"), (90, "ok")])
def test_a_certificate_is_judged_by_its_end(days: int, code: str) -> None:
    now = datetime.now(UTC)
    assert certificate_checks.judge("redis", now + timedelta(days=days), now).code == code


async def test_the_end_of_a_certificate_is_read_from_a_server_that_is_not_trusted(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_certificate(tmp_path, ends=datetime.now(UTC) - timedelta(days=1)))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        (found,) = await certificate_checks.check_certificate("redis", "127.0.0.1", port)
    assert found.code == "certificate_expired"


def write_certificate(folder: Path, *, ends: datetime) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "redis")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(ends - timedelta(days=30))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_a_nearly_full_disk_is_a_fault() -> None:
    assert disk_checks.judge("data folder", 12_000_000).code == "disk_nearly_full"


def test_replicas_of_different_versions_are_a_warning() -> None:
    replicas = [Finding("chat 1", "service", "", facts={"version": each}) for each in ("1.0", "1.1")]
    assert codes(compare_versions(replicas)) == {"versions_differ"}
    assert compare_versions(replicas[:1]) == []


def test_a_slow_answer_does_not_count_as_a_wrong_clock() -> None:
    assert check_clock("redis", 1000.0, asked=1000.0, answered=1010.0).status == "ok"


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("rediss://:p@cache/0", 6379),
        ("amqps://u:p@broker", 5671),
        ("postgresql://u:p@db/x?sslmode=verify-full", 5432),
        ("https://chat.example.org", 443),
        ("redis://cache/0", None),
        ("postgresql://u:p@db/x", None),
    ],
)
def test_a_certificate_is_expected_where_the_url_says_tls(url: str, port: int | None) -> None:
    found = tls_address(url)
    assert (found.port if found else None) == port


def test_the_status_of_the_exit_is_0_without_faults_1_with_one_and_2_without_checks() -> None:
    assert exit_status([Finding("a", "b", "c"), warning("a", "b", "clock_skew", "c")]) == 0
    assert exit_status([Finding("a", "b", "c"), fault("a", "b", "clock_skew", "c")]) == 1
    assert exit_status([]) == 2


def test_every_field_of_the_json_document_is_always_there() -> None:
    document = as_document([Finding("a", "b", "c"), fault("a", "b", "clock_skew", "c")], took_ms=3)
    assert sorted(document) == ["exit_status", "findings", "format", "status", "took_ms"]
    keys = ["action", "check", "code", "facts", "impact", "runbook", "status", "summary", "target"]
    assert [sorted(each) for each in document["findings"]] == [keys, keys]


def test_each_advice_names_an_existing_section_of_the_runbook() -> None:
    lines = (ROOT / RUNBOOK).read_text().splitlines()
    titles = {line.lstrip("# ").lower().replace(" ", "-").replace(",", "") for line in lines if line.startswith("#")}
    assert {advice.section for advice in ADVICE.values()} <= titles


def test_one_url_keeps_its_name_and_several_are_numbered() -> None:
    assert numbered("redis", ["b"]) == [("redis", "b")]
    assert numbered("redis", ["b", "a"]) == [("redis 1", "a"), ("redis 2", "b")]


def test_the_command_checks_the_system_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = f"127.0.0.1:{free_ports()}"
    monkeypatch.setenv("HISTORY_DATABASE_URL", f"postgresql://u:{PASSWORD}@{lost}/x")
    monkeypatch.setenv("REDIS_URL", f"redis://:{PASSWORD}@{lost}")
    arguments = ["doctor", "--json", "--timeout", "3", "--data-dir", str(tmp_path / "none")]
    result = CliRunner().invoke(build(), arguments)
    document = json.loads(result.stdout)
    found = {each["code"] for each in document["findings"] if each["target"] in {"postgres history", "redis"}}
    assert (result.exit_code, document["status"]) == (1, "fault")
    assert found == {"postgres_unreachable", "redis_unreachable"}
    assert PASSWORD not in result.stdout


def test_the_settings_of_webhooks_alone_are_a_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOKS_DATABASE_URL", f"postgresql://u:{PASSWORD}@127.0.0.1:{free_ports()}/x")
    result = CliRunner().invoke(build(), ["doctor", "--json", "--timeout", "3", "--data-dir", str(tmp_path / "none")])
    assert json.loads(result.stdout)["format"] == "parley.doctor/1"


def test_an_admin_port_on_an_ipv6_address_is_asked_in_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1")
    monkeypatch.setenv("ADMIN_HOST", "::1")
    monkeypatch.setenv("ADMIN_PORT", "9004")
    assert read_system().admin == {"gateway": "http://[::1]:9004"}


def test_a_wrong_admin_url_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), ["doctor", "--data-dir", str(tmp_path), "--admin-url", "chat"])
    assert (result.exit_code, "--admin-url" in result.stderr) == (2, True)
