"""Images that run: start, refused settings, least privileges, and operator commands."""

import re
import secrets
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from parley_testing import eventually
from parley_testing.deployment.docker import HARDENED, docker, in_image, run

pytestmark = pytest.mark.chaos

MISUSED = 2
UNREACHABLE = {
    "gateway": ("REDIS_URL=redis://127.0.0.1:1/0",),
    "auth": (
        "AUTH_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
        f"AUTH_SECRET_KEY={secrets.token_hex(32)}",
    ),
    "chat": (
        "CHAT_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
        "OPENAI_API_KEY=none",
        f"INTERNAL_CLIENT_SECRET={secrets.token_hex(32)}",
    ),
    "webhooks": (
        "WEBHOOKS_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
        f"WEBHOOKS_SECRET_KEY={secrets.token_hex(32)}",
    ),
    "history": (
        "HISTORY_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
    ),
}


@pytest.fixture
def started() -> Iterator[list[str]]:
    names: list[str] = []
    yield names
    for name in names:
        docker("rm", "--force", name, check=False)


def test_every_service_has_an_image(each: dict[str, str], root: Path) -> None:
    assert set(each) == {path.name for path in (root / "services").iterdir() if (path / "pyproject.toml").is_file()}


def is_alive(name: str) -> bool:
    done = run("exec", name, "python", "/app/bin/healthcheck.py")
    assert done.returncode == 0, docker("logs", name)
    return True


async def test_a_service_starts_hardened_and_keeps_trying_while_its_stores_are_away(
    each: dict[str, str], started: list[str]
) -> None:
    for service, image in each.items():
        name = f"parley-images-{service}-{uuid.uuid4().hex[:8]}"
        started.append(name)
        variables = [f"--env={variable}" for variable in UNREACHABLE.get(service, ())]
        docker("run", "--detach", f"--name={name}", *HARDENED, *variables, image)
        await eventually(partial(is_alive, name), within=240)
        assert docker("exec", name, "id", "-u").strip() == "65532"
        assert run("exec", name, "python", "/app/bin/healthcheck.py", "/ready").returncode in {0, 1}
        assert "Traceback" not in docker("logs", name)


def test_a_wrong_setting_is_refused_in_one_line(each: dict[str, str]) -> None:
    for service, image in each.items():
        variables = [f"--env={variable}" for variable in UNREACHABLE.get(service, ())]
        done = run("run", "--rm", *HARDENED, *variables, "--env=PORT=many", image)
        assert (done.returncode, len(done.stdout.splitlines())) == (MISUSED, 1), done.stdout
        assert "PORT: " in done.stdout


def test_a_missing_setting_is_named(each: dict[str, str]) -> None:
    for image in each.values():
        done = run("run", "--rm", *HARDENED, image)
        assert done.returncode == MISUSED, done.stdout
        assert re.search(r"^\w[\w-]*: \w+: is required but not set$", done.stdout, re.MULTILINE), done.stdout


def test_the_file_system_holds_nothing_that_the_service_can_change(each: dict[str, str]) -> None:
    for image in each.values():
        done = in_image(image, "python", "-c", "open('/app/x', 'w')")
        assert done.returncode != 0
        assert in_image(image, "find", "/app", "-writable", "-not", "-type", "l").stdout == ""


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("chat", ("parley", "verify")),
        ("auth", ("parley", "admin", "create-admin", "ada")),
        ("chat", ("parley", "events", "lag")),
        ("history", ("parley", "verify")),
        ("gateway", ("parley", "doctor")),
    ],
)
def test_an_operator_command_that_cannot_do_its_work_fails_with_a_reason(
    service: str, command: tuple[str, ...], each: dict[str, str]
) -> None:
    options = tuple(f"--env={variable}" for variable in UNREACHABLE[service])
    done = in_image(each[service], *command, options=options)

    assert done.returncode in {1, 2}, done.stdout
    assert done.stdout.strip()
    assert "Traceback" not in done.stdout


def test_every_image_has_the_operator_command(each: dict[str, str]) -> None:
    for image in each.values():
        done = in_image(image, "parley", "--help")
        assert done.returncode == 0, done.stdout
        assert all(name in done.stdout for name in ("verify", "events", "admin", "doctor"))
