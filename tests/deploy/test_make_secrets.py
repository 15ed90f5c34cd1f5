"""make-secrets of the cluster, and rotate-secrets of Compose: what they write, and who can read it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from parley_testing.deployment.manifests import Object, Render


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
    users = {each["name"]: each["password"] for each in json.loads(stores["rabbitmq_definitions.json"])["users"]}
    assert users.pop("parley-operator") == made["parley-rabbitmq"]["password"]
    assert len(set(users.values())) == 4
    for name, password in users.items():
        service = name.removeprefix("parley-")
        assert made[f"parley-{service}"]["amqp_url"] == f"amqp://{name}:{password}@rabbitmq:5672/%2F"
        assert name == f"parley-{service}"


def test_an_existing_broker_may_have_one_user_for_all_services(root: Path) -> None:
    made = secrets(root, AMQP_PASSWORD="given", AMQP_HOST="mq:5671", AMQP_SCHEME="amqps")

    urls = {made[f"parley-{name}"]["amqp_url"] for name in ("auth", "chat", "history", "webhooks")}
    assert urls == {"amqps://parley:given@mq:5671/%2F"}
    assert '"name":"parley","password":"given"' in made["parley-stores"]["rabbitmq_definitions.json"]


def test_the_permissions_of_the_broker_users_are_those_of_compose(
    root: Path, tmp_path: Path, made: dict[str, Object], render_chart: Render
) -> None:
    chart = {each["metadata"]["name"]: each.get("stringData", {}) for each in render_chart("bundled")}
    compose = [root / "deploy/docker/make-secrets", tmp_path]
    subprocess.run(compose, env={"PATH": os.environ["PATH"]}, check=True, timeout=60)

    for written in (tmp_path / "rabbitmq_definitions.json").read_text(), definitions(chart):
        assert json.loads(written)["permissions"] == json.loads(definitions(made))["permissions"]


def definitions(made: dict[str, Object]) -> str:
    found: str = made["parley-stores"]["rabbitmq_definitions.json"]
    return found


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


def test_a_full_disk_leaves_no_empty_secret_that_the_next_run_would_keep(root: Path, tmp_path: Path) -> None:
    script, folder = root / "deploy/docker/make-secrets", tmp_path / "secrets"
    # No file may have a single byte, as on a full disk.
    full = ["bash", "-c", 'trap "" XFSZ; ulimit -f 0; exec "$@"', "bash", str(script), str(folder)]
    assert subprocess.run(full, capture_output=True, check=False, timeout=60).returncode != 0

    subprocess.run([script, folder], capture_output=True, check=True, timeout=60)

    assert len((folder / "postgres_password").read_text().strip()) == 64
    assert not list(folder.glob("*.new"))


def test_a_rotation_that_cannot_copy_a_secret_keeps_the_new_ones_and_says_so(root: Path, tmp_path: Path) -> None:
    scripts, programs = tmp_path / "deploy/docker", tmp_path / "programs"
    scripts.mkdir(parents=True)
    programs.mkdir()
    for name in ("make-secrets", "rotate-secrets"):
        shutil.copy(root / "deploy/docker" / name, scripts)
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "OPENAI_API_KEY": "sk-mine"}
    subprocess.run([scripts / "make-secrets"], env=environment, check=True, timeout=60)
    (programs / "docker").write_text("#!/bin/sh\ncat >/dev/null\n")
    # A copy of several files fails, the one of the kept files does not.
    (programs / "cp").write_text('#!/bin/sh\ncase $* in *--preserve=mode*) exit 1 ;; esac\nexec /bin/cp "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)

    done = subprocess.run(
        [scripts / "rotate-secrets"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    assert "copy the files of deploy/docker/secrets.new" in done.stderr
    assert len((scripts / "secrets.new/postgres_password").read_text().strip()) == 64
