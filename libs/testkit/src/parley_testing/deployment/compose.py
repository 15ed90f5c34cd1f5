"""A compose project of the product, for black-box tests."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parley_testing.deployment.docker import docker, inspect, run

UP_TIMEOUT = 600.0
STOP_TIMEOUT = 300.0
COPIED = ("docker-compose.yml", "deploy")


class ComposeProject:
    """The compose file and `deploy/` in a folder of their own, with secrets, settings, ports and networks."""

    def __init__(self, root: Path, folder: Path, name: str, settings: Mapping[str, str]) -> None:
        self.folder, self.name = folder, name
        self.settings = dict(settings)
        folder.mkdir(parents=True)
        for part in COPIED:
            source = root / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("secrets*"))
            else:
                shutil.copy(source, folder / part)
        self.write_settings()

    def write_settings(self, **changed: str) -> None:
        """Write `.env`, which is all that an operator edits."""
        self.settings |= changed
        values = {"COMPOSE_PROJECT_NAME": self.name, **self.settings}
        (self.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in values.items()))

    @property
    def secrets(self) -> Path:
        """The folder with the secrets of this project."""
        return self.folder / "deploy/docker/secrets"

    def script(self, name: str, **variables: str) -> str:
        """Run a script of `deploy/docker` and return its output."""
        done = subprocess.run(
            [str(self.folder / "deploy/docker" / name)], cwd=self.folder, text=True, check=False, timeout=UP_TIMEOUT,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **variables},
        )  # fmt: skip
        assert done.returncode == 0, f"{name}: status {done.returncode}\n{done.stdout[-4000:]}\n{self.failed_checks()}"
        return done.stdout

    def compose(self, *arguments: str, timeout: float = UP_TIMEOUT, check: bool = True) -> str:
        """Run `docker compose` and return its output."""
        return docker("compose", *arguments, cwd=self.folder, timeout=timeout, check=check)

    def status(self, *arguments: str, timeout: float = UP_TIMEOUT) -> "subprocess.CompletedProcess[str]":
        """Run `docker compose`, which may fail."""
        return run("compose", *arguments, cwd=self.folder, timeout=timeout)

    def up(self, *arguments: str) -> None:
        """Start everything and wait until it is healthy."""
        self.compose("up", "--detach", "--no-build", "--wait", *arguments)

    def down(self, *arguments: str) -> None:
        """Stop and remove the containers."""
        self.compose("--profile", "*", "down", *arguments, timeout=STOP_TIMEOUT, check=False)

    def inside(self, service: str, *command: str, check: bool = True) -> str:
        """Run a command in a running container and return its output."""
        return self.compose("exec", "--no-TTY", service, *command, check=check)

    def python(self, service: str, program: str) -> str:
        """Run a Python program in a running container and return its output."""
        return self.inside(service, "python", "-c", program).strip()

    def containers(self, service: str) -> list[str]:
        """Return the IDs of the running containers of a service."""
        return self.compose("ps", "--quiet", service).split()

    def services(self) -> list[str]:
        """Return the services that run."""
        return sorted(set(self.compose("ps", "--services").split()))

    def health(self) -> dict[str, str]:
        """Return the health of each running container, by its name."""
        lines = self.compose("ps", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines]
        return {each["Name"]: each["Health"] for each in found}

    def failed_checks(self) -> str:
        """Return the latest failed health checks of each container: status, times and output."""
        mine = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={self.name}").split()
        found = {each["Name"]: each["State"].get("Health", {}).get("Log") or [] for each in map(inspect, mine)}
        return "\n".join(f"{name}: {check}" for name, log in found.items() for check in log if check["ExitCode"])

    def address(self, service: str, network: str) -> str:
        """Return the address of a container in a network, which this machine reaches."""
        networks: dict[str, Any] = self._inspect(service)["NetworkSettings"]["Networks"]
        return str(networks[f"{self.name}_{network}"]["IPAddress"])

    def kill(self, service: str) -> None:
        """Kill the main process of a container. Docker takes that for a crash, but `docker kill` for a stop."""
        os.kill(self._inspect(service)["State"]["Pid"], signal.SIGKILL)

    async def restart(self, service: str) -> None:
        """Restart the container of a service, as an operator does."""
        await asyncio.to_thread(self.compose, "restart", "--no-deps", service)

    def restarts(self, service: str) -> int:
        """Return how often Docker has started the container again."""
        return int(self._inspect(service)["RestartCount"])

    def _inspect(self, service: str) -> dict[str, Any]:
        (container, *_) = self.containers(service)
        return inspect(container)
