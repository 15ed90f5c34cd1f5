"""Parley as its users run it, for black-box tests: started by its commands, known by its URLs."""

import asyncio
import json
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from parley.embedded.databases import Databases
from parley.embedded.process import ChildProcess, Command
from parley.embedded.sockets import free_port

START_SECONDS = 60.0
PROBE_SECONDS = 1.0
CONSECUTIVE = 4
"""How many ports in a row a stack takes, twice."""


def command_path(name: str) -> str:
    """Return the installed command beside the running Python."""
    return str(Path(sys.executable).with_name(name))


def free_ports(count: int = CONSECUTIVE) -> int:
    """Return the first of ``count`` free ports in a row."""
    while True:
        first = free_port()
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, probe in enumerate(sockets):
                probe.bind(("127.0.0.1", first + offset))
        except OSError:
            continue
        finally:
            for probe in sockets:
                probe.close()
        return first


def environment(**settings: str) -> dict[str, str]:
    """Return a small environment with the given settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in kept if name in os.environ} | settings


async def answers(url: str) -> bool:
    """Say whether a GET answers 200."""
    async with httpx2.AsyncClient(timeout=PROBE_SECONDS, trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == httpx2.codes.OK
        except httpx2.HTTPError:
            return False


class EmbeddedStack:
    """`parley run` in a folder of its own, with the provider at ``provider_url``."""

    def __init__(self, folder: Path, provider_url: str | None, settings: Mapping[str, str] | None = None) -> None:
        """Choose free ports; nothing is started yet."""
        self.folder = folder
        self.port, self.admin_port = free_ports(), free_ports()
        given = {"OPENAI_BASE_URL": provider_url} if provider_url else {}
        self._environment = environment(**given, **(settings or {}))
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """The gateway."""
        return f"http://127.0.0.1:{self.port}"

    def service_url(self, offset: int) -> str:
        """Return the address of a service: 1 auth, 2 chat, 3 history."""
        return f"http://127.0.0.1:{self.port + offset}"

    @property
    def child(self) -> ChildProcess:
        """The running process."""
        assert self._child is not None
        return self._child

    async def start(self) -> None:
        """Start, and wait until the gateway is ready; one that was killed is waited for first."""
        await self.stop()
        arguments = ["run", "--port", str(self.port), "--admin-port", str(self.admin_port)]
        self._child = ChildProcess(
            Command(
                name="parley",
                arguments=[command_path("parley"), *arguments, "--data-dir", str(self.folder / "data")],
                folder=self.folder,
                environment=self._environment,
            )
        )
        await self._child.start()
        await self._child.wait_until(lambda: answers(f"{self.url}/ready"), START_SECONDS)

    async def stop(self) -> None:
        """Stop as Ctrl-C does."""
        if self._child is not None:
            await self._child.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """The servers behind a stack of separate processes."""

    database_admin_url: str
    redis_url: str
    amqp_url: str


class Replica:
    """One process of one service, started by its command with secrets in files."""

    def __init__(self, name: str, command: str, folder: Path, settings: Mapping[str, str], port: int = 0) -> None:
        """Take ``port`` and the one after it, else choose free ones; nothing is started yet."""
        port = port or free_ports(2)
        self.name, self.port, self.admin_port = name, port, port + 1
        self._folder = folder / name
        self._command, self.settings = command, settings
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """Where requests go."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where probes, metrics and status are."""
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def child(self) -> ChildProcess:
        """The running process."""
        assert self._child is not None
        return self._child

    async def start(self) -> None:
        """Start, and wait until it is ready; one that was killed is waited for first."""
        await self.stop()
        self._folder.mkdir(parents=True, exist_ok=True)
        ports = {"PORT": str(self.port), "ADMIN_PORT": str(self.admin_port)}
        command = Command(
            name=self.name,
            arguments=[command_path(self._command)],
            folder=self._folder,
            environment=environment(**ports, **self.settings),
        )
        self._child = ChildProcess(command)
        await self._child.start()
        await self._child.wait_until(lambda: answers(f"{self.admin_url}/ready"), START_SECONDS)

    async def stop(self) -> None:
        """Stop as an orchestrator does: SIGTERM, then patience."""
        if self._child is not None:
            await self._child.stop()

    def twin(self, name: str, **settings: str) -> "Replica":
        """Return another replica of the same service, with some settings of its own; not started."""
        return Replica(name, self._command, self._folder.parent, {**self.settings, **settings})

    async def status(self) -> dict[str, object]:
        """Return what the admin port says of the process's dependencies."""
        async with httpx2.AsyncClient(timeout=START_SECONDS, trust_env=False) as client:
            found: dict[str, object] = (await client.get(f"{self.admin_url}/status")).json()
            return found

    async def dependency(self, name: str) -> str:
        """Return what the process says of one dependency: ``up`` or ``down``."""
        dependencies = (await self.status())["dependencies"]
        assert isinstance(dependencies, list)
        return str(next(d["status"] for d in dependencies if d["name"] == name))

    async def metric(self, name: str, **labels: str) -> float:
        """Return a metric of the process, summed over the labels that are not named; 0 when there is none."""
        async with httpx2.AsyncClient(timeout=START_SECONDS, trust_env=False) as client:
            text = (await client.get(f"{self.admin_url}/metrics")).text
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


class SeparateStack:
    """Every service as processes of its own, ``replicas`` of gateway, chat and history each."""

    def __init__(
        self,
        folder: Path,
        infrastructure: Infrastructure,
        provider_url: str,
        *,
        replicas: int = 1,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the stack; nothing is started yet."""
        self.folder, self._infrastructure, self._replicas = folder, infrastructure, replicas
        self._provider_url, self._settings = provider_url, dict(settings or {})
        self._turn = 0
        # One row for all: chosen one by one, two would be the same now and then.
        self._port = free_ports(2 * (replicas * len(("history", "chat", "gateway")) + len(("auth", "worker"))))
        self.database_urls: dict[str, str] = {}
        self.auth: list[Replica] = []
        self.chat: list[Replica] = []
        self.history: list[Replica] = []
        self.workers: list[Replica] = []
        self.gateways: list[Replica] = []

    @property
    def url(self) -> str:
        """A gateway, another one each time."""
        self._turn += 1
        return self.gateways[self._turn % len(self.gateways)].url

    @property
    def everything(self) -> list[Replica]:
        """Every process, in the order of their start."""
        return [*self.auth, *self.history, *self.workers, *self.chat, *self.gateways]

    def database_url(self, service: str) -> str:
        """Return the DSN of a service's database, once the stack was started."""
        return (self.folder / f"{service}-secrets" / f"{service}_database_url").read_text()

    async def start(self) -> None:
        """Make databases and secrets, then start: whoever needs another starts after it."""
        urls = self.database_urls = await self._make_databases()
        clients = {name: secrets.token_urlsafe(32) for name in ("gateway", "chat", "history")}
        common = self._common()
        own = {name: self._secrets(name, urls, clients) for name in ("auth", "chat", "history", "gateway")}
        self.auth = [self._replica("auth", "parley-auth", {**common, **own["auth"]})]
        addresses = {"AUTH_URL": self.auth[0].url, "JWKS_URL": f"{self.auth[0].url}/.well-known/jwks.json"}
        kept = {**common, **own["history"], **addresses, "RUN_CONSUMER": "false"}
        self.history = self._make("history", kept)
        worker = {**common, **own["history"], **addresses}
        self.workers = [self._replica("worker", "parley-history-worker", worker)]
        history = {"HISTORY_URL": self.history[0].url}
        provider = {"OPENAI_BASE_URL": self._provider_url, "OPENAI_MODEL": "fake"}
        self.chat = self._make("chat", {**common, **own["chat"], **addresses, **history, **provider})
        upstreams = {
            "CHAT_URL": ",".join(replica.url for replica in self.chat),
            "HISTORY_URL": ",".join(replica.url for replica in self.history),
        }
        self.gateways = self._make("gateway", {**common, **own["gateway"], **addresses, **upstreams})
        for group in (self.auth, [*self.history, *self.workers], self.chat, self.gateways):
            await asyncio.gather(*(replica.start() for replica in group))

    def settings_of(self, service: str) -> Mapping[str, str]:
        """Return the settings of a service's first replica, for a command beside it."""
        return getattr(self, service)[0].settings  # type: ignore[no-any-return]

    async def stop(self) -> None:
        """Stop everything, whoever needs another first."""
        for group in (self.gateways, self.chat, [*self.history, *self.workers], self.auth):
            await asyncio.gather(*(replica.stop() for replica in group))

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _make(self, name: str, settings: Mapping[str, str]) -> list[Replica]:
        return [self._replica(f"{name}-{i}", f"parley-{name}", settings) for i in range(self._replicas)]

    def _replica(self, name: str, command: str, settings: Mapping[str, str]) -> Replica:
        port, self._port = self._port, self._port + 2
        return Replica(name, command, self.folder, settings, port)

    def _common(self) -> dict[str, str]:
        return {"ENVIRONMENT": "development", "REGISTRATION": "open", "DRAIN_TIMEOUT": "20", **self._settings}

    async def _make_databases(self) -> dict[str, str]:
        databases = Databases(self._infrastructure.database_admin_url)
        urls = {}
        for service in ("auth", "chat", "history"):
            name, password = f"e2e_{service}_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
            await databases.create_role_and_database(name, password)
            urls[service] = databases.url(name, name, password)
        return urls

    def _secrets(self, service: str, urls: Mapping[str, str], clients: Mapping[str, str]) -> dict[str, str]:
        """Write the secrets of one service into files of its own, as an orchestrator mounts them."""
        folder = self.folder / f"{service}-secrets"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        values = {"redis_url": self._infrastructure.redis_url}
        if service in urls:
            values |= {f"{service}_database_url": urls[service], "amqp_url": self._infrastructure.amqp_url}
        if service in clients:
            values["internal_client_secret"] = clients[service]
        if service == "auth":
            values |= {"auth_secret_key": secrets.token_hex(32), "internal_clients": json.dumps(dict(clients))}
        for name, value in values.items():
            (folder / name).write_text(value)
        return {"SECRETS_DIR": str(folder)}
