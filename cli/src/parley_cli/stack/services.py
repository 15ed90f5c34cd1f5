"""All services in one process and one event loop. They call each other over loopback HTTP, as in production."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI

import auth.erasure.service
import auth.main
import auth.wiring
import chat.events.consumer
import chat.main
import chat.wiring
import gateway.main
import history.main
import history.projection.consumer
import history.wiring
import webhooks.intake.binding
import webhooks.main
import webhooks.wiring
from auth.signing_keys.key_ring import UndecryptableKeysError
from parley.config.settings import ServiceSettings
from parley.messaging.memory_bus import MemoryBus
from parley.web import server
from parley.web.lifecycle import Lifecycle
from parley.web.lifespan import lifespan
from parley.web.runtime import Ping
from parley_cli.stack.demo_account import DemoLogin, ensure_demo_account
from parley_cli.stack.encryption_key import wrong_key
from parley_cli.stack.service_settings import (
    StackConfig,
    auth_settings,
    chat_settings,
    gateway_settings,
    history_settings,
    webhook_settings,
)

QUEUES = (
    history.projection.consumer.QUEUE,
    chat.events.consumer.QUEUE,
    auth.erasure.service.QUEUE,
    webhooks.intake.binding.QUEUE,
)
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


@dataclass
class RunningServices:
    """What the launcher tells about the services: an administrator, and why the provider cannot be used."""

    has_admin: bool = False
    provider_problem: str | None = None


def create_auth(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return auth."""
    settings = auth_settings(config)
    return _hosted(auth.main.create_app(settings, wire=partial(auth.wiring.wire, bus=bus)), settings)


def create_chat(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return chat."""
    settings = chat_settings(config)
    return _hosted(chat.main.create_app(settings, wire=partial(chat.wiring.wire, bus=bus)), settings)


def create_history(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return history."""
    settings = history_settings(config)
    return _hosted(history.main.create_app(settings, wire=partial(history.wiring.wire, bus=bus)), settings)


def create_webhooks(config: StackConfig, bus: MemoryBus) -> HostedService:
    """Return webhooks."""
    settings = webhook_settings(config)
    return _hosted(webhooks.main.create_app(settings, wire=partial(webhooks.wiring.wire, bus=bus)), settings)


def create_gateway(config: StackConfig, _bus: MemoryBus) -> HostedService:
    """Return the gateway."""
    settings = gateway_settings(config)
    return _hosted(gateway.main.create_app(settings), settings)


START_ORDER: tuple[Callable[[StackConfig, MemoryBus], HostedService], ...] = (
    create_auth,
    create_history,
    create_chat,
    create_webhooks,
    create_gateway,
)
"""Each service starts after the services that it calls. They stop in reverse order."""


@contextlib.asynccontextmanager
async def open_services(config: StackConfig, login: DemoLogin) -> AsyncIterator[RunningServices]:
    """Serve all services, then drain them one after another.

    The demo account exists before auth serves requests.
    """
    running = RunningServices()
    bus = MemoryBus(QUEUES)
    async with contextlib.AsyncExitStack() as stack:
        for create in START_ORDER:
            service = create(config, bus)
            service.lifecycle.expect_server()
            await stack.enter_async_context(_running(service, config.folder))
            if create is create_auth:
                assert isinstance(service.app, FastAPI)
                await ensure_demo_account(service.app.state.wired, login, config.folder)
                running.has_admin = await service.app.state.wired.operator.has_admin()
            await stack.enter_async_context(_serving(service))
            if create is create_chat:
                running.provider_problem = await provider_problem(service.app.state.runtime.pings)
        yield running


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


async def provider_problem(pings: Mapping[str, Ping]) -> str | None:
    """Return the host of a provider that cannot be used and why, or None."""
    try:
        await pings["provider"]()
    except chat.wiring.ProviderAccessError as error:
        return f"{error.access.host}: {error.status_detail}"
    return None


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
