"""Wiring of chat for tests: a bus in memory, a short lease, and adapters that a test may wrap with faults."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

from chat.metrics import ChatMetrics
from chat.running.engine import EngineAdapters
from chat.settings import ChatSettings
from chat.wiring import ChatServices, load_config, open_adapters, open_services
from parley.infrastructure import open_infrastructure
from parley.messaging.memory_bus import MemoryBus
from parley.security.identity import Verifier
from parley.web.runtime import Runtime

LEASE_LENGTH = 4.0
"""Seconds: less than half of the production value, which the end-to-end tests use."""
REDIS_TIMEOUT = 10.0
"""Seconds of a call for limits and the cache: with those of production, a busy machine often goes on without Redis."""

WrapAdapters = Callable[[EngineAdapters], EngineAdapters]


@contextlib.asynccontextmanager
async def wire_for_tests(
    settings: ChatSettings,
    runtime: Runtime,
    *,
    bus: MemoryBus,
    wrap: WrapAdapters = lambda adapters: adapters,
    lease_length: float = LEASE_LENGTH,
    redis_timeout: float = REDIS_TIMEOUT,
    verifier: Verifier | None = None,
) -> AsyncIterator[ChatServices]:
    config, metrics = load_config(settings), ChatMetrics(runtime.metrics.registry)
    async with (
        open_infrastructure(settings, runtime, bus=bus, redis_timeout=redis_timeout) as infrastructure,
        open_adapters(settings, runtime, infrastructure, metrics) as adapters,
        open_services(
            config,
            runtime,
            infrastructure,
            wrap(adapters),
            metrics,
            lease_length=lease_length,
        ) as services,
    ):
        yield services if verifier is None else dataclasses.replace(services, verifier=verifier)
