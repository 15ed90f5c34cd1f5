"""Infrastructure of a service with a database: Postgres pool, Redis, bus, outbox relay, token verifier."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from parley.config.settings import DataSettings, SettingsError
from parley.messaging import outbox
from parley.messaging.bus import DEAD_LETTERS, SERVICE_QUEUES, Bus
from parley.messaging.outbox.relay import OutboxRelay
from parley.messaging.outbox.store import backlog
from parley.messaging.traced_bus import TracedBus
from parley.observability.metrics import Metrics
from parley.process.tasks import background
from parley.security.tokens import TokenVerifier, open_verifier
from parley.storage import migrations, postgres
from parley.storage import redis as redis_storage
from parley.storage.connection_gate import ConnectionGate
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.monitor import DatabaseMonitor, Unavailability
from parley.storage.postgres import Pool
from parley.storage.redis import SOCKET_TIMEOUT, RedisClient, open_redis
from parley.storage.startup import DatabaseStartup
from parley.web.runtime import Runtime
from parley_events.connection import split_urls


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """Open connections of one service."""

    pool: Pool
    redis: RedisClient
    bus: Bus
    relay: OutboxRelay
    verifier: TokenVerifier
    queue: ConnectionQueue
    """The queue of requests for connections of the pool."""
    startup: DatabaseStartup
    """Repeats further steps of the start while the database is away."""
    redis_timeout: float = SOCKET_TIMEOUT
    """Seconds of a call of Redis."""


@contextlib.asynccontextmanager
async def open_infrastructure(
    settings: DataSettings,
    runtime: Runtime,
    *,
    bus: Bus | None = None,
    needs_writer: bool = True,
    preload_keys: bool = True,
    redis_timeout: float = SOCKET_TIMEOUT,
) -> AsyncIterator[Infrastructure]:
    """Migrate the database of a service and open its connections; services in one process share a ``bus``.

    While the database is away, both are tried again, and ``/ready`` says so. Redis and the broker may be away.
    ``needs_writer``: the service is not ready while its database is read-only or unreachable.
    ``preload_keys``: the service is not ready before it has auth's public keys, or some seconds have passed.
    ``redis_timeout``: the seconds of a call of Redis.
    """
    dsn = settings.database_url.get_secret_value()
    startup = DatabaseStartup(dsn, runtime.lifecycle.wait_for)
    await startup.run(lambda: migrations.migrate(dsn, outbox.MIGRATIONS, runtime.service))
    gate = ConnectionGate()
    async with contextlib.AsyncExitStack() as stack:
        pool = await startup.run(lambda: stack.enter_async_context(_open_pool(settings, runtime, gate)))
        redis = await stack.enter_async_context(
            open_redis(settings.redis_url.get_secret_value(), timeout=redis_timeout)
        )
        if bus is None:
            bus = await stack.enter_async_context(open_bus(settings, runtime.service, runtime.metrics))
        if runtime.tracer is not None:
            bus = TracedBus(bus, runtime.tracer)
        verifier = await stack.enter_async_context(
            open_verifier(
                settings.jwks_url, issuer=settings.issuer(), preload=preload_keys, report=runtime.lifecycle.wait_for
            )
        )
        relay = OutboxRelay(dsn, bus, source=f"/services/{runtime.service}", metrics=runtime.metrics)
        _register(runtime, pool, redis, bus)
        await stack.enter_async_context(background("relay", relay.lead, service=runtime.service))
        monitor = _monitor(pool, gate, runtime, needs_writer=needs_writer)
        await monitor.check()  # before the service becomes ready
        await stack.enter_async_context(background("database", monitor.run, service=runtime.service))
        queue = ConnectionQueue(settings.database_pool_size)
        yield Infrastructure(pool, redis, bus, relay, verifier, queue, startup, redis_timeout)


def _open_pool(
    settings: DataSettings, runtime: Runtime, gate: ConnectionGate
) -> contextlib.AbstractAsyncContextManager[Pool]:
    return postgres.open_pool(
        settings.database_url.get_secret_value(),
        size=settings.database_pool_size,
        minimum=settings.database_pool_min_size,
        application=f"parley-{runtime.service}",
        gate=gate,
    )


def open_bus(settings: DataSettings, service: str, metrics: Metrics) -> contextlib.AbstractAsyncContextManager[Bus]:
    """Open the RabbitMQ bus; raise SettingsError without a valid ``AMQP_URL``."""
    if settings.amqp_url is None:
        raise SettingsError("AMQP_URL: is required unless all services run in one process")
    try:
        split_urls(settings.amqp_url.get_secret_value())
    except ValueError as error:
        raise SettingsError(f"AMQP_URL: {error}") from None
    from parley.messaging.rabbit_bus import open_rabbit

    return open_rabbit(
        settings.amqp_url.get_secret_value(), service=service, queue_type=settings.queue_type, metrics=metrics
    )


def _monitor(pool: Pool, gate: ConnectionGate, runtime: Runtime, *, needs_writer: bool) -> DatabaseMonitor:
    def report(unavailable: Unavailability | None) -> None:
        if needs_writer:
            runtime.lifecycle.unavailable = unavailable

    return DatabaseMonitor(pool, gate, report)


def _register(runtime: Runtime, pool: Pool, redis: RedisClient, bus: Bus) -> None:
    async def outbox() -> dict[str, object]:
        return {"outbox": await backlog(pool)}

    owner = runtime.service.partition("-")[0]
    queues = [*(queue for queue in SERVICE_QUEUES if queue.startswith(f"{owner}.")), DEAD_LETTERS]

    async def waiting() -> dict[str, object]:
        found = await bus.waiting(queues)
        return {"queues": [{"queue": queue, "waiting": count} for queue, count in found.items()]}

    runtime.pings["postgres"] = lambda: postgres.require_writable(pool)
    runtime.pings["redis"] = lambda: redis_storage.ping(redis)
    runtime.pings["bus"] = bus.ping
    runtime.reports += [outbox, waiting]
