"""All four services in one process and one event loop. They call each other over loopback HTTP, as in production."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import auth.erasure.service
import auth.main
import auth.settings
import auth.wiring
import chat.events.erasure
import chat.main
import chat.settings
import chat.wiring
import gateway.main
import gateway.settings
import history.main
import history.projection.consumer
import history.settings
import history.wiring
from auth.signing_keys.key_ring import UndecryptableKeysError
from gateway.server.descriptors import fit_descriptors
from parley.config.settings import ServiceSettings, load
from parley.messaging.memory_bus import MemoryBus
from parley.process.descriptors import descriptor_limit
from parley.web import server
from parley.web.lifecycle import Lifecycle
from parley.web.lifespan import lifespan
from parley_cli.model.process import CONTEXT_TOKENS, DISPLAY_NAME, MAX_OUTPUT_TOKENS, MODEL_NAME
from parley_cli.stack.backends import StackBackends, internal_secrets
from parley_cli.stack.demo_account import DemoLogin, ensure_demo_account
from parley_cli.stack.encryption_key import encryption_key, wrong_key
from parley_cli.stack.ports import HOST, StackPorts

DATABASE_POOL_SIZE = 8
QUEUES = (history.projection.consumer.QUEUE, chat.events.erasure.QUEUE, auth.erasure.service.QUEUE)
"""Queues whose consumer must have subscribed before an event counts as published."""


@dataclass(frozen=True, slots=True)
class HostedService:
    """A service that runs in this process: its app, settings and server."""

    app: FastAPI | gateway.main.Gateway
    settings: ServiceSettings
    server: server.UvicornServer

    @property
    def lifecycle(self) -> Lifecycle:
        """The service's state between start and exit."""
        found: Lifecycle = self.app.state.runtime.lifecycle
        return found

    async def drain(self) -> None:
        """Refuse new requests, wait for open ones, then stop."""
        await server.drain(self.server, self.lifecycle, self.settings)


@dataclass(frozen=True, slots=True)
class StackConfig:
    """Folder, ports, servers and public URL of a stack."""

    folder: Path
    ports: StackPorts
    backends: StackBackends
    public_url: str

    def environment(self) -> dict[str, str]:
        """Return the settings with which the other subcommands reach this stack."""
        urls = {f"{name.upper()}_DATABASE_URL": url for name, url in self.backends.database_urls.items()}
        return urls | {
            "REDIS_URL": self.backends.redis_url,
            "PUBLIC_URL": self.public_url,
            "AUTH_URL": self.ports.url("auth"),
            "HISTORY_URL": self.ports.url("history"),
            "AUTH_SECRET_KEY": encryption_key(self.folder),
            "INTERNAL_CLIENT_SECRET": internal_secrets(self.folder)["chat"],
        }

    def common_settings(self, service: str) -> dict[str, Any]:
        """Return the settings that every service needs."""
        return {
            "environment": "development",
            "public_url": self.public_url,
            "host": HOST,
            "port": self.ports.of(service),
            "admin_host": HOST,
            "admin_port": self.ports.admin(service),
            "drain_delay": 0,
            "redis_url": self.backends.redis_url,
        }

    def data_settings(self, service: str) -> dict[str, Any]:
        """Return the settings of a service with a database."""
        return {
            **self.common_settings(service),
            "database_url": self.backends.database_urls[service],
            "database_pool_size": DATABASE_POOL_SIZE,
            "jwks_url": f"{self.ports.url('auth')}/.well-known/jwks.json",
        }


def create_auth(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return auth with open registration."""
    settings = load(
        auth.settings.AuthSettings,
        **config.data_settings("auth"),
        auth_secret_key=encryption_key(config.folder),
        internal_clients=json.dumps(internal_secrets(config.folder)),
        registration="open",
    )
    return _hosted(auth.main.create_app(settings, wire=partial(auth.wiring.wire, bus=bus)), settings)


def create_chat(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return chat, with the local model unless the user configured a provider."""
    settings = load(
        chat.settings.ChatSettings,
        **config.data_settings("chat"),
        auth_url=config.ports.url("auth"),
        history_url=config.ports.url("history"),
        internal_client_secret=internal_secrets(config.folder)["chat"],
        **_local_model_settings(config),
    )
    return _hosted(chat.main.create_app(settings, wire=partial(chat.wiring.wire, bus=bus)), settings)


def create_history(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return history, which also consumes its events in this process."""
    settings = load(history.settings.HistorySettings, **config.data_settings("history"))
    return _hosted(history.main.create_app(settings, wire=partial(history.wiring.wire, bus=bus)), settings)


def create_gateway(config: StackConfig, _bus: MemoryBus) -> HostedService:
    """Return the gateway."""
    urls = {f"{name}_url": config.ports.url(name) for name in ("auth", "chat", "history")}
    settings = load(
        gateway.settings.GatewaySettings,
        **config.common_settings("gateway"),
        **urls,
        internal_client_secret=internal_secrets(config.folder)["gateway"],
    )
    settings = fit_descriptors(settings, descriptor_limit(), sockets_per_upstream=2)
    return _hosted(gateway.main.create_app(settings), settings)


START_ORDER: tuple[Callable[[StackConfig, MemoryBus], HostedService], ...] = (
    create_auth,
    create_history,
    create_chat,
    create_gateway,
)
"""Each service starts after the services that it calls. They stop in reverse order."""


@contextlib.asynccontextmanager
async def open_services(config: StackConfig, login: DemoLogin) -> AsyncIterator[None]:
    """Serve all services, then drain them one after another. The demo account exists before auth serves requests."""
    bus = MemoryBus(QUEUES)
    async with contextlib.AsyncExitStack() as stack:
        for create in START_ORDER:
            service = create(config, bus)
            service.lifecycle.expect_server()
            await stack.enter_async_context(_running(service, config.folder))
            if create is create_auth:
                assert isinstance(service.app, FastAPI)
                await ensure_demo_account(service.app.state.wired, login, config.folder)
            await stack.enter_async_context(_serving(service))
        yield


@contextlib.asynccontextmanager
async def _running(service: HostedService, folder: Path) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(lifespan(service.app))
        except UndecryptableKeysError as error:
            raise wrong_key(folder) from error
        yield


@contextlib.asynccontextmanager
async def _serving(service: HostedService) -> AsyncIterator[None]:
    task = asyncio.create_task(service.server.serve(), name=f"serve {service.settings.service}")
    try:
        await server.wait_until_listening(service.server, task)
        if task.done():
            task.result()
            raise OSError(f"{service.settings.service} cannot listen on port {service.settings.port}")
        service.lifecycle.mark_ready()
        yield
    finally:
        await service.drain()
        await task


async def wait_for_signal() -> None:
    """Return on Ctrl-C or SIGTERM. The next signal ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    await stop.wait()


def _hosted(app: FastAPI | gateway.main.Gateway, settings: ServiceSettings) -> HostedService:
    return HostedService(app, settings, server.make_server(app, settings))


def _local_model_settings(config: StackConfig) -> dict[str, Any]:
    model = config.backends.model
    if model is None:
        return {}
    return {
        "openai_base_url": model.base_url,
        "openai_model": MODEL_NAME,
        "model_name": DISPLAY_NAME,
        "model_provider": "local",
        "model_context_window": CONTEXT_TOKENS,
        "model_max_output_tokens": MAX_OUTPUT_TOKENS,
    }
