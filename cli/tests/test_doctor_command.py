"""`parley doctor`: judgement of certificates, disks, versions and clocks, and its command and document."""

import asyncio
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from parley_cli.diagnosis import certificate_checks, disk_checks
from parley_cli.diagnosis.addresses import tls_address
from parley_cli.diagnosis.advice import ADVICE, RUNBOOK
from parley_cli.diagnosis.checks import numbered
from parley_cli.diagnosis.clocks import check_clock
from parley_cli.diagnosis.findings import Finding, as_document, exit_status, fault, warning
from parley_cli.diagnosis.service_checks import compare_versions
from parley_cli.diagnosis.system import read_system
from parley_cli.main import build
from parley_testing.stacks.commands import free_ports

ROOT = Path(__file__).parents[2]
PASSWORD = "canary-8f2d"


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
    assert [each.code for each in compare_versions(replicas)] == ["versions_differ"]
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


def test_every_admin_port_of_a_name_is_asked(tmp_path: Path) -> None:
    ports = [free_ports(), free_ports()]
    named = [option for port in ports for option in ("--admin-url", f"chat=http://127.0.0.1:{port}")]
    result = CliRunner().invoke(build(), ["doctor", "--json", "--data-dir", str(tmp_path / "none"), *named])
    found = {each["target"] for each in json.loads(result.stdout)["findings"] if each["code"] == "service_unreachable"}
    assert found == {"chat 1 (admin)", "chat 2 (admin)"}
