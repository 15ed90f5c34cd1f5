"""make-secrets of the cluster: the secrets that the services mount, with keys that fit together."""

import json
import os
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
