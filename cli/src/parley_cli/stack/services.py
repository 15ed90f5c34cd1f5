"""All four services in one process, on one loop, talking to each other over loopback HTTP as they do everywhere."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from parley.config.settings import ServiceSettings, load
from parley.messaging.memory_bus import MemoryBus
from parley.web import server
from parley.web.lifecycle import Lifecycle
from parley.web.lifespan import lifespan
from parley_cli.model.process import CONTEXT_TOKENS, DISPLAY_NAME, MAX_OUTPUT_TOKENS, MODEL_NAME
from parley_cli.stack.backends import Backends, encryption_key, internal_secrets
from parley_cli.stack.demo_account import Login, ensure_demo
from parley_cli.stack.ports import HOST, Ports

POOL_SIZE = 8
"""Postgres connections of each service: one process needs few."""
QUEUES = (history.projection.consumer.QUEUE, chat.events.erasure.QUEUE, auth.erasure.service.QUEUE)
"""Queues whose consumer must be there before an event counts as published."""


@dataclass(frozen=True, slots=True)
class Service:
    """One app, its settings and the server that serves it."""

    app: Any
    settings: ServiceSettings
    server: server.UvicornServer

    @property
    def lifecycle(self) -> Lifecycle:
        """Where it stands between start and exit."""
        found: Lifecycle = self.app.state.runtime.lifecycle
        return found

    async def drain(self) -> None:
        """Refuse new work, let what is open end, stop."""
        await server.drain(self.server, self.lifecycle, self.settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything is on this machine."""

    folder: Path
    ports: Ports
    backends: Backends
    public_url: str

    def common(self, service: str) -> dict[str, Any]:
        """Return the settings that every service gets."""
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

    def environment(self) -> dict[str, str]:
        """Return the settings with which a command reaches this stack."""
        urls = {f"{name.upper()}_DATABASE_URL": url for name, url in self.backends.database_urls.items()}
        return urls | {
            "REDIS_URL": self.backends.redis_url,
            "PUBLIC_URL": self.public_url,
            "AUTH_URL": self.ports.url("auth"),
            "HISTORY_URL": self.ports.url("history"),
            "AUTH_SECRET_KEY": encryption_key(self.folder),
            "INTERNAL_CLIENT_SECRET": internal_secrets(self.folder)["chat"],
        }

    def stored(self, service: str) -> dict[str, Any]:
        """Return the settings of a service with a database."""
        return {
            **self.common(service),
            "database_url": self.backends.database_urls[service],
            "database_pool_size": POOL_SIZE,
            "jwks_url": f"{self.ports.url('auth')}/.well-known/jwks.json",
        }


def auth_service(plan: Plan, bus: MemoryBus) -> Service:
    """Return auth, open for registration."""
    settings = load(
        auth.settings.AuthSettings,
        **plan.stored("auth"),
        auth_secret_key=encryption_key(plan.folder),
        internal_clients=json.dumps(internal_secrets(plan.folder)),
        registration="open",
    )
    return _service(auth.main.create_app(settings, wire=partial(auth.wiring.wire, bus=bus)), settings)


def chat_service(plan: Plan, bus: MemoryBus) -> Service:
    """Return chat, with the local model unless the user named a provider."""
    settings = load(
        chat.settings.ChatSettings,
        **plan.stored("chat"),
        auth_url=plan.ports.url("auth"),
        history_url=plan.ports.url("history"),
        internal_client_secret=internal_secrets(plan.folder)["chat"],
        **_local_model(plan),
    )
    return _service(chat.main.create_app(settings, wire=partial(chat.wiring.wire, bus=bus)), settings)


def history_service(plan: Plan, bus: MemoryBus) -> Service:
    """Return history, its consumer inside."""
    settings = load(history.settings.HistorySettings, **plan.stored("history"))
    return _service(history.main.create_app(settings, wire=partial(history.wiring.wire, bus=bus)), settings)


def gateway_service(plan: Plan, _bus: MemoryBus) -> Service:
    """Return the gateway."""
    urls = {f"{name}_url": plan.ports.url(name) for name in ("auth", "chat", "history")}
    settings = load(gateway.settings.GatewaySettings, **plan.common("gateway"), **urls)
    return _service(gateway.main.create_app(settings), settings)


START_ORDER: tuple[Callable[[Plan, MemoryBus], Service], ...] = (
    auth_service,
    history_service,
    chat_service,
    gateway_service,
)
"""Whoever needs another starts after it; they stop in the opposite order."""


@contextlib.asynccontextmanager
async def open_stack(plan: Plan, login: Login) -> AsyncIterator[None]:
    """Serve all four services, the login known before the door opens; at the end they drain one after the other."""
    bus = MemoryBus(QUEUES)
    async with contextlib.AsyncExitStack() as stack:
        for make in START_ORDER:
            service = make(plan, bus)
            service.lifecycle.expect_server()
            await stack.enter_async_context(lifespan(service.app))
            if make is auth_service:
                await ensure_demo(service.app.state.wired, login)
            await stack.enter_async_context(_serving(service))
        yield


@contextlib.asynccontextmanager
async def _serving(service: Service) -> AsyncIterator[None]:
    task = asyncio.create_task(service.server.serve(), name=f"serve {service.settings.service}")
    try:
        await server.wait_until_listening(service.server, task)
        if task.done():
            task.result()
            raise OSError(f"{service.settings.service} could not listen on port {service.settings.port}")
        service.lifecycle.mark_ready()
        yield
    finally:
        await service.drain()
        await task


async def wait_for_signal() -> None:
    """Return at Ctrl-C or SIGTERM; the next one ends the process at once."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def on_signal() -> None:
        stop.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, on_signal)
    await stop.wait()


def _service(app: Any, settings: ServiceSettings) -> Service:
    return Service(app, settings, server.make_server(app, settings))


def _local_model(plan: Plan) -> dict[str, Any]:
    model = plan.backends.model
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
