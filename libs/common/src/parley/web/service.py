"""A running service without its web framework: runtime, admin port, tracer, monitors, and its own resources."""

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeVar

from parley.config.settings import ServiceSettings
from parley.observability.metrics import Metrics
from parley.observability.tracing import open_tracer
from parley.process.sockets import PEER_TIMEOUT
from parley.process.tasks import background
from parley.web import admin_port
from parley.web.loop_monitor import monitor_loop
from parley.web.memory_monitor import monitor_memory
from parley.web.runtime import Runtime

S = TypeVar("S", bound=ServiceSettings)
R = TypeVar("R")
Wire = Callable[[S, Runtime], AbstractAsyncContextManager[R]]
"""Opens the resources of a service and yields them; they become ``app.state.wired``."""


def make_runtime(settings: ServiceSettings, *, service: str, version: str) -> Runtime:
    """Return the runtime of a service that is not started yet."""
    return Runtime(service, version, settings, Metrics(service, version, settings.git_sha))


@contextlib.asynccontextmanager
async def run_service(runtime: Runtime, settings: S, wire: Wire[S, R]) -> AsyncIterator[R]:
    """Run a service while the context is open: admin port, tracer, loop monitor, and the resources of ``wire``."""
    PEER_TIMEOUT.seconds = settings.peer_timeout
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(admin_port.serve_admin(runtime))
        stack.enter_context(monitor_memory(runtime.metrics, runtime.service))
        runtime.tracer = await stack.enter_async_context(
            open_tracer(
                settings,
                service=runtime.service,
                version=runtime.version,
                environment=settings.environment,
                metrics=runtime.metrics,
            )
        )
        monitor = background(
            "loop_monitor", lambda: monitor_loop(runtime.metrics, runtime.lifecycle), service=runtime.service
        )
        await stack.enter_async_context(monitor)
        wired = await stack.enter_async_context(wire(settings, runtime))
        runtime.lifecycle.mark_wired()
        try:
            yield wired
        finally:
            runtime.lifecycle.start_draining()
