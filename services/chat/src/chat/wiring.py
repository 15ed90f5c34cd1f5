"""Opens and closes everything chat needs."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextLoader
from chat.admission.plans import load_plans
from chat.admission.position import PositionResolver
from chat.admission.response_cache import ResponseCache
from chat.admission.token_limits import TokenLimits
from chat.catalogue import Catalogue, Model
from chat.events.erasure import LifecycleEventHandler
from chat.events.erasure_store import ErasureStore
from chat.events.reconciler import Reconciler
from chat.events.verification import VerificationReport, verify
from chat.generation import AnswerGenerator, Provider
from chat.history import History
from chat.metrics import ChatMetrics
from chat.providers.catalogue_file import load_catalogue
from chat.providers.circuit_breaker import CircuitBreakers
from chat.providers.openai_client import OpenAIProvider, open_session
from chat.providers.retry_and_fallback import FallbackGenerator
from chat.providers.tracing import TracedProvider
from chat.running.engine import EngineAdapters, TurnEngine, open_engine
from chat.running.lease import LENGTH
from chat.running.readers import TurnReaders
from chat.running.supervisor import Supervisor
from chat.service import ChatService
from chat.settings import ChatSettings
from chat.storage.budgets import PostgresBudgetStore
from chat.storage.erasure import PostgresErasureStore
from chat.storage.history_client import HistoryClient
from chat.storage.log_store import RedisLogStore
from chat.storage.maintenance import PostgresMaintenanceStore
from chat.storage.response_index import RedisResponseIndex
from chat.storage.runners import PostgresRunnerStore
from chat.storage.stream_writer import StreamWriter
from chat.storage.turns import PostgresTurnStore
from chat.storage.verification import PostgresVerificationSource
from parley import times
from parley.infrastructure import open_infrastructure
from parley.messaging.bus import Bus
from parley.observability.tracing import Tracer
from parley.process.tasks import background
from parley.ratelimit.limiter import open_limiter
from parley.security.identity import Verifier
from parley.security.service_tokens import ServiceTokenProvider
from parley.storage.postgres import open_pool
from parley.storage.redis import RedisClient, open_redis
from parley.web.http_client import open_client
from parley.web.runtime import Runtime

HISTORY_TIMEOUT = 5.0
APPEND_TIMEOUT = 0.25
"""Seconds that the copy of a log may take before streams go on without it."""
TAIL_TIMEOUT = 2.0

WrapAdapters = Callable[[EngineAdapters], EngineAdapters]


@dataclass(frozen=True, slots=True)
class Wired:
    """What the API finds in ``app.state.wired``."""

    verifier: Verifier
    service: ChatService
    catalogue: Catalogue
    budgets: Budgets
    supervisor: Supervisor
    reconciler: Reconciler
    started_at: datetime


def unchanged(ports: EngineAdapters) -> EngineAdapters:
    """Return the ports as they are; tests wrap them with faults."""
    return ports


@contextlib.asynccontextmanager
async def wire(
    settings: ChatSettings,
    runtime: Runtime,
    *,
    bus: Bus | None = None,
    wrap: WrapAdapters = unchanged,
    lease_length: float = LENGTH,
) -> AsyncIterator[Wired]:
    """Open chat; ``bus`` is given when several services share a process, another ``lease_length`` by hasty tests."""
    catalogue, plans = load_catalogue(settings), load_plans(settings.plans_file)
    metrics = ChatMetrics(runtime.metrics.registry)
    async with contextlib.AsyncExitStack() as stack:
        backing = await stack.enter_async_context(open_infrastructure(settings, runtime, bus=bus))
        turns = PostgresTurnStore(backing.pool, backing.relay.hint)
        streams = await stack.enter_async_context(open_streams(settings))
        answers = await stack.enter_async_context(open_answers(settings, metrics, runtime.tracer))
        ports = wrap(EngineAdapters(turns, PostgresRunnerStore(turns), streams, answers))
        engine = await stack.enter_async_context(
            open_engine(settings, runtime, ports, catalogue, metrics, lease_length=lease_length)
        )
        history = await stack.enter_async_context(open_history(settings, runtime.tracer))
        forgetting = PostgresErasureStore(turns)
        handlers = LifecycleEventHandler(forgetting, ports.logs, engine.supervisor)
        await stack.enter_async_context(backing.bus.consume(handlers.subscription()))
        reconciler = _reconciler(settings, turns, forgetting, history, engine)
        await stack.enter_async_context(background("reconciler", reconciler.run, service=runtime.service))
        limits = open_limiter(backing.redis, service="chat", registry=runtime.metrics.registry)
        meter = TokenLimits(await stack.enter_async_context(limits))
        budgets = Budgets(plans, PostgresBudgetStore(turns))
        service = ChatService(
            store=ports.turns,
            catalogue=catalogue,
            placement=PositionResolver(ports.turns, history),
            contexts=ContextLoader(ports.turns, history),
            budgets=budgets,
            meter=meter,
            supervisor=engine.supervisor,
            readers=TurnReaders(engine.supervisor, engine.mirrors, ports.logs),
            turn_timeout=settings.turn_timeout,
            draining=runtime.lifecycle.drain_started,
            cache=_answer_cache(settings, backing.redis, ports, engine),
        )
        yield Wired(backing.verifier, service, catalogue, budgets, engine.supervisor, reconciler, times.now())


@contextlib.asynccontextmanager
async def open_history(settings: ChatSettings, tracer: Tracer | None = None) -> AsyncIterator[HistoryClient]:
    """Open the connections to history."""
    async with open_client(settings.history_url, read_timeout=HISTORY_TIMEOUT, tracer=tracer) as client:
        tokens = ServiceTokenProvider(
            client, auth_url=settings.auth_url, service="chat", secret=settings.internal_client_secret
        )
        yield HistoryClient(client, tokens)


def _answer_cache(
    settings: ChatSettings, redis: RedisClient, ports: EngineAdapters, engine: TurnEngine
) -> ResponseCache | None:
    if not settings.enable_cache:
        return None
    return ResponseCache(RedisResponseIndex(redis, ttl=settings.cache_ttl), ports.turns, engine.metrics)


def _reconciler(
    settings: ChatSettings, turns: PostgresTurnStore, forgetting: ErasureStore, history: History, engine: TurnEngine
) -> Reconciler:
    return Reconciler(
        upkeep=PostgresMaintenanceStore(turns),
        forgetting=forgetting,
        history=history,
        metrics=engine.metrics,
        interval=settings.reconcile_interval,
        turn_retention=settings.turn_retention,
        event_retention=settings.event_retention,
    )


@contextlib.asynccontextmanager
async def open_streams(settings: ChatSettings) -> AsyncIterator[RedisLogStore]:
    """Open the connections to the copies of logs."""
    url = settings.redis_url.get_secret_value()
    async with (
        open_redis(url, timeout=APPEND_TIMEOUT) as client,
        open_redis(url, timeout=TAIL_TIMEOUT, max_connections=1) as tail,
        open_redis(url, timeout=None, max_connections=1) as line,
    ):
        yield RedisLogStore(client, tail, StreamWriter(line, timeout=APPEND_TIMEOUT))


@contextlib.asynccontextmanager
async def open_answers(
    settings: ChatSettings, metrics: ChatMetrics, tracer: Tracer | None = None
) -> AsyncIterator[AnswerGenerator]:
    """Open the connections to the providers."""
    timeout = settings.openai_timeout
    async with open_session(settings.max_running_turns) as session:

        def provider_of(model: Model) -> Provider:
            provider = OpenAIProvider(session, model.target, timer=timeout)
            return provider if tracer is None else TracedProvider(provider, model, tracer)

        yield FallbackGenerator(provider_of, CircuitBreakers(), metrics, max_retries=settings.openai_max_retries)


async def verify_once(settings: ChatSettings, *, settle: float, repair: bool) -> VerificationReport:
    """Compare chat's turns with history's, beside a running chat (see ``chat.events.verification``)."""
    async with contextlib.AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        pool = await stack.enter_async_context(open_pool(dsn, size=2, application="parley-verify"))
        history = await stack.enter_async_context(open_history(settings))
        evidence = PostgresVerificationSource(PostgresTurnStore(pool, lambda: None))
        return await verify(evidence, history, settle=settle, repair=repair)
