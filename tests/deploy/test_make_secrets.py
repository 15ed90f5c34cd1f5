"""make-secrets of the cluster, and rotate-secrets of Compose: what they write, and who can read it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from parley_testing.deployment.manifests import Object


def secrets(root: Path, **environment: str) -> dict[str, Object]:
    command = [str(root / "deploy/k8s/make-secrets")]
    given = {"PATH": os.environ["PATH"], **environment}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {each["metadata"]["name"]: each["stringData"] for each in yaml.safe_load_all(done.stdout)}


@pytest.fixture(scope="module")
def made(root: Path) -> dict[str, Object]:
    return secrets(root)


def test_every_secret_of_the_example_is_made_with_its_keys(root: Path, made: dict[str, Object]) -> None:
    example = list(yaml.safe_load_all((root / "deploy/k8s/secrets.example.yaml").read_text()))

    for each in example:
        assert made[each["metadata"]["name"]].keys() == each["stringData"].keys()


def test_clients_databases_and_stores_share_their_passwords(made: dict[str, Object]) -> None:
    clients = json.loads(made["parley-auth"]["internal_clients"])
    stores = made["parley-stores"]

    assert clients == {name: made[f"parley-{name}"]["internal_client_secret"] for name in ("gateway", "chat")}
    for name in ("auth", "chat", "history", "webhooks"):
        assert f":{stores[f'{name}_database_password']}@" in made[f"parley-{name}"][f"{name}_database_url"]
        assert made[f"parley-db-{name}"]["password"] == stores[f"{name}_database_password"]
    assert f"default_pass = {made['parley-rabbitmq']['password']}" in stores["rabbitmq.conf"]


def test_passwords_are_new_each_time_and_a_quote_stays_a_quote(root: Path, made: dict[str, Object]) -> None:
    again = secrets(root, OPENAI_API_KEY="it's: #1", POSTGRES_HOST="pg:1", POSTGRES_OPTIONS="?sslmode=verify-full")

    assert again["parley-auth"]["auth_secret_key"] != made["parley-auth"]["auth_secret_key"]
    assert again["parley-chat"]["openai_api_key"] == "it's: #1"
    assert again["parley-chat"]["chat_database_url"].endswith("@pg:1/parley_chat?sslmode=verify-full")


def test_rotated_secrets_of_compose_are_new_and_readable_for_the_users_of_the_containers(
    root: Path, tmp_path: Path
) -> None:
    scripts, programs = tmp_path / "deploy/docker", tmp_path / "programs"
    scripts.mkdir(parents=True)
    programs.mkdir()
    for name in ("make-secrets", "rotate-secrets"):
        shutil.copy(root / "deploy/docker" / name, scripts)
    (programs / "docker").write_text("#!/bin/sh\ncase $* in *psql*) cat >/dev/null ;; esac\n")
    (programs / "docker").chmod(0o755)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "OPENAI_API_KEY": "sk-mine"}
    subprocess.run([scripts / "make-secrets"], env=environment, check=True, timeout=60)
    before = {path.name: path.read_text() for path in (scripts / "secrets").iterdir()}
    # `cp` replaces a file that it may not write, such as one of an ordinary user.
    (scripts / "secrets/redis_password").unlink()

    subprocess.run([scripts / "rotate-secrets"], env=environment, check=True, timeout=60)

    after = {path.name: path.read_text() for path in (scripts / "secrets").iterdir()}
    kept = {"auth_secret_key", "webhooks_secret_key", "openai_api_key", "smtp_url", "proxy_certificate.pem"}
    assert {name for name in before if before[name] == after[name]} == kept & before.keys()
    assert {path.stat().st_mode & 0o777 for path in (scripts / "secrets").iterdir()} == {0o444}
