"""Process of one service, for black-box tests."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from parley_embedded.process.child import ChildProcess, ServerCommand
from parley_testing.http.client import open_http
from parley_testing.stacks.commands import answers, command_path, environment, free_ports

START_SECONDS = 180.0


class ServiceProcess:
    """A process of one service, started by its command with secrets in files."""

    def __init__(
        self,
        name: str,
        command: str,
        folder: Path,
        settings: Mapping[str, str],
        port: int = 0,
        *,
        programs: Path | None = None,
    ) -> None:
        """Use ``port`` and the next one, or free ports; nothing is started yet.

        ``programs``: the folder of the commands of another version. Default: those of the running Python.
        """
        port, self.programs = port or free_ports(2), programs
        self.name, self.port, self.admin_port = name, port, port + 1
        self._folder = folder / name
        self._command, self.settings = command, settings
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The address for requests."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """The address of probes, metrics and status."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def child(self) -> ChildProcess:
        """The running process."""
        assert self._child is not None
        return self._child

    async def start(self) -> None:
        """Start the process and wait until it is ready; reap a killed one first."""
        await self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = {"PORT": str(self.port), "ADMIN_PORT": str(self.admin_port)}
        command = ServerCommand(
            name=self.name,
            arguments=[str(self.programs / self._command) if self.programs else command_path(self._command)],
            folder=self._folder,
            environment=environment(**ports, **self.settings),
        )
        self._child = ChildProcess(command)
        await self._child.start()
        await self._child.wait_until(lambda: answers(f"{self.admin_url}/ready"), START_SECONDS)

    async def stop(self) -> None:
        """Stop as an orchestrator does: send SIGTERM and wait."""
        if self._child is not None:
            await self._child.stop()

    def twin(self, name: str, **settings: str) -> "ServiceProcess":
        """Return another process of the same service with some settings changed; it is not started."""
        changed = {**self.settings, **settings}
        return ServiceProcess(name, self._command, self._folder.parent, changed, programs=self.programs)

    async def status(self) -> dict[str, object]:
        """Return the document of the admin port's `/status`."""
        async with open_http(timeout=START_SECONDS) as client:
            found: dict[str, object] = (await client.get(f"{self.admin_url}/status")).json()
            return found

    async def dependency(self, name: str) -> str:
        """Return the status of one dependency: ``up`` or ``down``."""
        dependencies = (await self.status())["dependencies"]
        assert isinstance(dependencies, list)
        return str(next(d["status"] for d in dependencies if d["name"] == name))

    async def metric(self, name: str, **labels: str) -> float:
        """Return a metric summed over all labels that are not given; 0 if it is absent."""
        async with open_http(timeout=START_SECONDS) as client:
            text = (await client.get(f"{self.admin_url}/metrics")).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())
