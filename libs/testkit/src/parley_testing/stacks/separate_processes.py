"""Separate profile: each service in processes of its own, for black-box tests."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from parley_embedded.postgres.databases import Databases
from parley_testing.backends.urls import BackendUrls
from parley_testing.stacks.commands import free_ports
from parley_testing.stacks.service_process import ServiceProcess


class SeparateStack:
    """Each service in processes of its own, with ``replicas`` of gateway, chat and history."""

    def __init__(
        self,
        folder: Path,
        infrastructure: BackendUrls,
        provider_url: str,
        *,
        replicas: int = 1,
        settings: Mapping[str, str] | None = None,
        auth_url: str | None = None,
        programs: Path | None = None,
    ) -> None:
        """``auth_url``: address of a load balancer in front of auth. Default: the process itself.

        ``programs``: the folder of the commands of another version. Default: those of the running Python.
        """
        self.folder, self._infrastructure, self._replicas = folder, infrastructure, replicas
        self._provider_url, self._settings = provider_url, dict(settings or {})
        self._auth_url, self._programs = auth_url, programs
        self._turn = 0
        # One range for all: ports that are chosen one by one may collide.
        self._port = free_ports(
            2 * (replicas * len(("history", "chat", "gateway")) + len(("auth", "worker", "webhooks")))
        )
        self.database_urls: dict[str, str] = {}
        self.auth: list[ServiceProcess] = []
        self.chat: list[ServiceProcess] = []
        self.history: list[ServiceProcess] = []
        self.workers: list[ServiceProcess] = []
        self.webhooks: list[ServiceProcess] = []
        self.gateways: list[ServiceProcess] = []

    @property
    def url(self) -> str:
        """The address of a gateway; each access returns the next one."""
        self._turn += 1
        return self.gateways[self._turn % len(self.gateways)].url

    @property
    def everything(self) -> list[ServiceProcess]:
        """All processes in their start order."""
        return [*self.auth, *self.history, *self.workers, *self.webhooks, *self.chat, *self.gateways]

    def database_url(self, service: str) -> str:
        """Return the DSN of a service's database; the stack must have been started."""
        return (self.folder / f"{service}-secrets" / f"{service}_database_url").read_text()

    async def start(self) -> None:
        """Create databases and secrets, then start the services in the order of their dependencies."""
        urls = self.database_urls = await self._make_databases()
        clients = {name: secrets.token_urlsafe(32) for name in ("gateway", "chat", "history")}
        common = self._common()
        own = {name: self._secrets(name, urls, clients) for name in ("auth", "chat", "history", "webhooks", "gateway")}
        self.auth = [self._replica("auth", "parley-auth", {**common, **own["auth"]})]
        auth_url = self._auth_url or self.auth[0].url
        addresses = {"AUTH_URL": auth_url, "JWKS_URL": f"{auth_url}/.well-known/jwks.json"}
        kept = {**common, **own["history"], **addresses, "RUN_CONSUMER": "false"}
        self.history = self._make("history", kept)
        worker = {**common, **own["history"], **addresses}
        self.workers = [self._replica("worker", "parley-history-worker", worker)]
        self.webhooks = [self._replica("webhooks", "parley-webhooks", {**common, **own["webhooks"], **addresses})]
        history = {"HISTORY_URL": self.history[0].url}
        provider = {"OPENAI_BASE_URL": self._provider_url, "OPENAI_MODEL": "fake"}
        self.chat = self._make("chat", {**common, **own["chat"], **addresses, **history, **provider})
        upstreams = {
            "CHAT_URL": ",".join(replica.url for replica in self.chat),
            "HISTORY_URL": ",".join(replica.url for replica in self.history),
            "WEBHOOKS_URL": self.webhooks[0].url,
        }
        self.gateways = self._make("gateway", {**common, **own["gateway"], **addresses, **upstreams})
        for group in (self.auth, [*self.history, *self.workers, *self.webhooks], self.chat, self.gateways):
            await asyncio.gather(*(replica.start() for replica in group))

    def settings_of(self, service: str) -> Mapping[str, str]:
        """Return the settings of a service's first process, for a command."""
        return getattr(self, service)[0].settings  # type: ignore[no-any-return]

    async def stop(self) -> None:
        """Stop the services in the reverse order of their dependencies."""
        for group in (self.gateways, self.chat, [*self.history, *self.workers, *self.webhooks], self.auth):
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

    def _make(self, name: str, settings: Mapping[str, str]) -> list[ServiceProcess]:
        return [self._replica(f"{name}-{i}", f"parley-{name}", settings) for i in range(self._replicas)]

    def _replica(self, name: str, command: str, settings: Mapping[str, str]) -> ServiceProcess:
        port, self._port = self._port, self._port + 2
        return ServiceProcess(name, command, self.folder, settings, port, programs=self._programs)

    def _common(self) -> dict[str, str]:
        return {"ENVIRONMENT": "development", "REGISTRATION": "open", "DRAIN_TIMEOUT": "20", **self._settings}

    async def _make_databases(self) -> dict[str, str]:
        databases = Databases(self._infrastructure.database_admin_url)
        urls = {}
        for service in ("auth", "chat", "history", "webhooks"):
            name, password = f"e2e_{service}_{secrets.token_hex(4)}", secrets.token_urlsafe(16)
            await databases.create_role_and_database(name, password)
            urls[service] = databases.url(name, name, password)
        return urls

    def _secrets(self, service: str, urls: Mapping[str, str], clients: Mapping[str, str]) -> dict[str, str]:
        """Write the secrets of one service to files, as an orchestrator mounts them."""
        folder = self.folder / f"{service}-secrets"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        values = {"redis_url": self._infrastructure.redis_url}
        if service in urls:
            values |= {f"{service}_database_url": urls[service], "amqp_url": self._infrastructure.amqp_url}
        if service in clients:
            values["internal_client_secret"] = clients[service]
        if service == "webhooks":
            values["webhooks_secret_key"] = secrets.token_hex(32)
        if service == "auth":
            values |= {"auth_secret_key": secrets.token_hex(32), "internal_clients": json.dumps(dict(clients))}
        for name, value in values.items():
            (folder / name).write_text(value)
        return {"SECRETS_DIR": str(folder)}
