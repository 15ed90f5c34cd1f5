"""deploy/docker/upgrade when Docker answers nothing or fails: it replaces nothing, and says what to do."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Upgrade = Callable[..., subprocess.CompletedProcess[str]]

DOCKER = """#!/bin/bash
echo "$*" >>"$CALLS"
case $* in
    "compose config"*) printf '{\\n  "name": "%s",\\n}\\n' "$PROJECT" ;;
    "ps "*) printf '%s\\n' $SERVICES ;;
    "compose ps --quiet chat") [[ -z $CHAT ]] || echo "$CHAT"; exit "$STATUS" ;;
    "compose ps --quiet"*) echo one ;;
esac
"""


@pytest.fixture
def upgrade(root: Path, tmp_path: Path) -> Upgrade:
    scripts = tmp_path / "deploy/docker"
    scripts.mkdir(parents=True)
    shutil.copy(root / "deploy/docker/upgrade", scripts)
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)

    def run(**changes: str) -> subprocess.CompletedProcess[str]:
        answers = {"PROJECT": "parley", "SERVICES": "chat auth", "CHAT": "two", "STATUS": "0", **changes}
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), **answers}
        return subprocess.run(
            [scripts / "upgrade"], env=environment, capture_output=True, text=True, check=False, timeout=60
        )

    return run


def replaced(folder: Path) -> list[str]:
    calls = (folder / "calls").read_text().splitlines()
    return [call.split()[-1] for call in calls if call.startswith("compose up")]


def test_the_services_are_replaced_one_by_one_with_chat_before_the_gateways(upgrade: Upgrade, tmp_path: Path) -> None:
    assert upgrade().returncode == 0
    assert replaced(tmp_path) == ["auth", "chat", "gateway", "gateway-2"]
    assert "--scale chat=2 chat" in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"PROJECT": ""}, "does not say the name of the project"),
        ({"SERVICES": ""}, "no service of the project parley runs"),
        ({"CHAT": ""}, "chat has no container any more"),
        ({"CHAT": "", "STATUS": "1"}, ""),
    ],
)
def test_no_service_is_scaled_to_nothing_when_docker_names_no_container(
    upgrade: Upgrade, tmp_path: Path, answers: dict[str, str], message: str
) -> None:
    done = upgrade(**answers)
    assert done.returncode == 1
    assert message in done.stderr
    assert "=0" not in (tmp_path / "calls").read_text()
    assert "gateway" not in replaced(tmp_path)
