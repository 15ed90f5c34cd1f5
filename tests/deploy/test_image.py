"""Dockerfile, health check and generated secrets."""

import base64
import hashlib
import http.server
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PATHS = {"/health": 200, "/ready": 503}


@pytest.fixture(scope="module")
def instructions(root: Path) -> list[str]:
    """The instructions of the services' Dockerfile."""
    return instructions_of(root / "deploy/docker/service.Dockerfile")


def instructions_of(file: Path) -> list[str]:
    """Return a Dockerfile's instructions, each on one line."""
    lines = file.read_text().replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


class _Admin(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(PATHS[self.path])
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - name of the base class
        del format, args


@pytest.fixture
def admin_port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Admin) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def healthcheck(root: Path) -> list[str]:
    return [sys.executable, str(root / "deploy/docker/healthcheck.py")]


def status_of(command: list[str], port: int) -> int:
    return subprocess.run(command, env={**os.environ, "ADMIN_PORT": str(port)}, timeout=20, check=False).returncode


def test_the_image_runs_as_a_number_that_is_not_root(instructions: list[str]) -> None:
    assert [line for line in instructions if line.startswith("USER")] == ["USER 65532:65532"]


def test_the_image_is_stopped_by_a_signal_that_reaches_the_service(instructions: list[str]) -> None:
    assert "STOPSIGNAL SIGTERM" in instructions
    assert 'ENTRYPOINT ["/app/bin/service"]' in instructions


def test_the_base_is_one_exact_version_of_python_for_all_stages(instructions: list[str]) -> None:
    bases = [line.split()[1] for line in instructions if line.startswith("FROM")]
    (default,) = [line for line in instructions if line.startswith("ARG PYTHON_IMAGE=")]

    assert bases == ["${PYTHON_IMAGE}", "packages", "packages", "packages", "${PYTHON_IMAGE}"]
    assert default.partition(":")[2].count(".") == 2


def test_everything_installed_from_the_network_is_checked_by_its_hash(instructions: list[str], root: Path) -> None:
    installs = [part for line in instructions for part in line.split("&&") if "pip install" in part]
    sources = (root / "deploy/docker/install-sources").read_text()

    assert len(installs) == 3
    assert all("--require-hashes" in part for part in installs)
    assert "--no-deps" in sources
    assert "--offline" in sources


def test_the_image_is_told_how_to_check_its_health(instructions: list[str]) -> None:
    (check,) = [line for line in instructions if line.startswith("HEALTHCHECK")]

    assert check.endswith('CMD ["python", "/app/bin/healthcheck.py"]')


def test_a_healthy_process_is_reported_healthy(healthcheck: list[str], admin_port: int) -> None:
    assert status_of(healthcheck, admin_port) == 0


def test_a_process_that_is_not_ready_is_reported_so(healthcheck: list[str], admin_port: int) -> None:
    assert status_of([*healthcheck, "/ready"], admin_port) == 1


def test_a_closed_port_is_unhealthy(healthcheck: list[str]) -> None:
    assert status_of(healthcheck, 1) == 1


def test_secrets_are_made_once_and_kept(root: Path, secrets: Path) -> None:
    before = {path.name: path.read_text() for path in secrets.iterdir()}
    command = [str(root / "deploy/docker/make-secrets"), str(secrets)]
    environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=environment)

    assert {path.name: path.read_text() for path in secrets.iterdir()} == before


def test_secrets_are_random_and_closed_to_other_users_of_the_machine(secrets: Path) -> None:
    random = [path.read_text() for path in secrets.iterdir() if path.name.endswith(("_password", "_secret", "_key"))]

    assert len(random) == len(set(random))
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700


def test_each_service_has_a_broker_user_that_owns_its_queues_only(secrets: Path) -> None:
    definitions = json.loads((secrets / "rabbitmq_definitions.json").read_text())
    permissions = {each["user"]: each for each in definitions["permissions"]}

    assert permissions.keys() == {each["name"] for each in definitions["users"]}
    for service in ("auth", "chat", "history", "webhooks"):
        granted = permissions.pop(f"parley-{service}")
        for action in ("configure", "write", "read"):
            assert re.search(granted[action], f"{service}.anything")
            assert not re.search(granted[action], "sub.billing.turns")
            assert not re.search(granted[action], f"x{service}.anything")
        assert not re.search(granted["read"], "parley.log")
        password = (secrets / f"{service}_broker_password").read_text().strip()
        assert (secrets / f"{service}_amqp_url").read_text().startswith(f"amqp://parley-{service}:{password}@")
    assert permissions.keys() == {"parley-operator"}


def test_the_broker_stores_a_salted_hash_of_each_password(secrets: Path) -> None:
    for user in json.loads((secrets / "rabbitmq_definitions.json").read_text())["users"]:
        password = (secrets / f"{user['name'].removeprefix('parley-')}_broker_password").read_text().strip()
        stored = base64.b64decode(user["password_hash"])
        assert stored[4:] == hashlib.sha256(stored[:4] + password.encode()).digest()
        assert user["tags"] == []


def test_a_mail_server_is_a_secret_and_optional(root: Path, secrets: Path, tmp_path: Path) -> None:
    assert (secrets / "smtp_url").read_text().strip() == ""
    environment = {**os.environ, "SMTP_URL": "smtps://user:pass@mail:465"}
    command = [str(root / "deploy/docker/make-secrets"), str(tmp_path / "made")]
    subprocess.run(command, check=True, capture_output=True, timeout=30, env=environment)

    assert (tmp_path / "made/smtp_url").read_text() == "smtps://user:pass@mail:465\n"


def test_another_provider_key_replaces_the_old_one(root: Path, tmp_path: Path) -> None:
    command = [str(root / "deploy/docker/make-secrets"), str(tmp_path / "made")]
    for key in ("sk-first", "sk-second"):
        environment = {**os.environ, "OPENAI_API_KEY": key}
        subprocess.run(command, check=True, capture_output=True, timeout=30, env=environment)

    assert (tmp_path / "made/openai_api_key").read_text() == "sk-second\n"


def test_made_secrets_are_never_committed(root: Path) -> None:
    command = ["git", "-c", "safe.directory=*", "check-ignore", "--quiet", "deploy/docker/secrets/chat_amqp_url"]

    assert subprocess.run(command, cwd=root, timeout=20, check=False).returncode == 0


@pytest.mark.parametrize("name", ["service", "local-model"])
def test_everything_that_is_copied_exists_and_is_part_of_the_build_context(name: str, root: Path) -> None:
    allowed = [line[1:] for line in (root / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    members = (
        "services/auth",
        "services/chat",
        "services/gateway",
        "services/history",
        "services/webhooks",
        "libs/fake-provider",
    )
    copied = {
        source.replace("${MEMBER}", member).replace("${SERVICE}", member.rpartition("/")[2])
        for line in instructions_of(root / f"deploy/docker/{name}.Dockerfile")
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
        if not source.startswith("--")
        for member in members
    }

    assert copied
    assert [source for source in copied if not (root / source).exists()] == []
    assert [source for source in copied if not source.startswith(tuple(allowed))] == []
