"""Docker's command line, for tests of images and of compose."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

DOCKER_TIMEOUT = 180.0
HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges:true",
    "--tmpfs=/tmp:size=16m",
    "--network=none",
)
"""Options of a container as the deployments run it: it can change nothing and reach nothing."""


class DockerError(AssertionError):
    """A command failed; the text is its output."""


def docker(*arguments: str, timeout: float = DOCKER_TIMEOUT, cwd: Path | None = None, check: bool = True) -> str:
    """Run a command and return what it wrote, standard error included; raise ``DockerError`` if it fails."""
    return run(*arguments, timeout=timeout, cwd=cwd, check=check).stdout


def run(
    *arguments: str, timeout: float = DOCKER_TIMEOUT, cwd: Path | None = None, check: bool = False
) -> "subprocess.CompletedProcess[str]":
    """Run a command of Docker and return its status and its output."""
    command = ["docker", *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, cwd=cwd, check=False
    )
    if check and done.returncode != 0:
        raise DockerError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-4000:]}")
    return done


def in_image(image: str, *command: str, options: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """Run a command in a hardened container of an image and return its status and its output."""
    return run("run", "--rm", *HARDENED, *options, "--entrypoint", command[0], image, *command[1:])


def missing_program() -> str:
    """Return why the tests cannot run, or nothing."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    for probe in (["version", "--format", "{{.Server.Version}}"], ["compose", "version"], ["buildx", "version"]):
        done = run(*probe)
        if done.returncode != 0:
            return f"docker {' '.join(probe)}: {done.stdout.strip().splitlines()[-1]}"
    return ""


def inspect(name: str) -> dict[str, Any]:
    """Return the description of an image or a container."""
    found: dict[str, Any] = json.loads(docker("inspect", name))[0]
    return found
