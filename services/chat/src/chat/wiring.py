"""Opens and closes everything chat needs."""

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime

from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextSource
from chat.admission.plans import load_plans
from chat.admission.position import Placement
from chat.admission.response_cache import AnswerCache
from chat.admission.token_limits import TokenMeter
from chat.catalogue import Catalogue, Model
from chat.events.erasure import Handlers
from chat.events.erasure_store import Forgetting
from chat.events.reconciler import Reconciler
from chat.events.verification import Report, verify
from chat.generation import Answers, Provider
from chat.history import KnownTurns
from chat.metrics import Measures
from chat.providers.catalogue_file import load_catalogue
from chat.providers.circuit_breaker import Breakers
from chat.providers.openai_client import OpenAIProvider, open_session
from chat.providers.retry_and_fallback import Retrying
from chat.providers.tracing import TracedProvider
from chat.running.engine import Engine, Ports, open_engine
from chat.running.lease import LENGTH
from chat.running.readers import Readers
from chat.running.supervisor import Supervisor
from chat.service import ChatService
from chat.settings import ChatSettings
from chat.storage.budgets import PostgresLedger
from chat.storage.erasure import PostgresForgetting
from chat.storage.history_client import HistoryMessages, HistoryOwners
from chat.storage.log_store import RedisStreams
from chat.storage.maintenance import PostgresUpkeep
from chat.storage.response_index import RedisAnswers
from chat.storage.runners import PostgresRunners
from chat.storage.stream_writer import Appender
from chat.storage.turns import PostgresTurns
from chat.storage.verification import PostgresEvidence
from parley import times
from parley.infrastructure import open_backing
from parley.observability.tracing import Tracer
from parley.process.tasks import background
from parley.ratelimit.limiter import open_limiter
from parley.security.identity import Verifier
from parley.security.service_tokens import ServiceTokens
from parley.storage.postgres import open_pool
from parley.storage.redis import Client, open_redis
from parley.web.http_client import open_client
from parley.web.runtime import Runtime
from parley_events.bus import Bus

HISTORY_TIMEOUT = 5.0
APPEND_TIMEOUT = 0.25
"""Seconds that the copy of a log may take before streams go on without it."""
TAIL_TIMEOUT = 2.0

Wrap = Callable[[Ports], Ports]


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


def unchanged(ports: Ports) -> Ports:
    """Return the ports as they are; tests wrap them with faults."""
    return ports


@contextlib.asynccontextmanager
async def wire(
    settings: ChatSettings,
    runtime: Runtime,
    *,
    bus: Bus | None = None,
    wrap: Wrap = unchanged,
    lease_length: float = LENGTH,
) -> AsyncIterator[Wired]:
    """Open chat; ``bus`` is given when several services share a process, another ``lease_length`` by hasty tests."""
    catalogue, plans = load_catalogue(settings), load_plans(settings.plans_file)
    measures = Measures(runtime.metrics.registry)
    async with contextlib.AsyncExitStack() as stack:
        backing = await stack.enter_async_context(open_backing(settings, runtime, bus=bus))
        turns = PostgresTurns(backing.pool, backing.relay.hint)
        streams = await stack.enter_async_context(open_streams(settings))
        answers = await stack.enter_async_context(open_answers(settings, measures, runtime.tracer))
        ports = wrap(Ports(turns, PostgresRunners(turns), streams, answers))
        engine = await stack.enter_async_context(
            open_engine(settings, runtime, ports, catalogue, measures, lease_length=lease_length)
        )
        owners, past = await stack.enter_async_context(open_history(settings, runtime.tracer))
        forgetting = PostgresForgetting(turns)
        handlers = Handlers(forgetting, ports.streams, engine.supervisor)
        await stack.enter_async_context(backing.bus.consume(handlers.subscription()))
        reconciler = _reconciler(settings, turns, forgetting, owners, engine)
        await stack.enter_async_context(background("reconciler", reconciler.run, service=runtime.service))
        limits = open_limiter(backing.redis, service="chat", registry=runtime.metrics.registry)
        meter = TokenMeter(await stack.enter_async_context(limits))
        budgets = Budgets(plans, PostgresLedger(turns))
        service = ChatService(
            store=ports.turns,
            catalogue=catalogue,
            placement=Placement(ports.turns, owners, past),
            contexts=ContextSource(ports.turns, past),
            budgets=budgets,
            meter=meter,
            supervisor=engine.supervisor,
            readers=Readers(engine.supervisor, engine.mirrors, ports.streams),
            turn_timeout=settings.turn_timeout,
            draining=runtime.lifecycle.drained,
            cache=_answer_cache(settings, backing.redis, ports, engine),
        )
        yield Wired(backing.verifier, service, catalogue, budgets, engine.supervisor, reconciler, times.now())


@contextlib.asynccontextmanager
async def open_history(
    settings: ChatSettings, tracer: Tracer | None = None
) -> AsyncIterator[tuple[HistoryOwners, HistoryMessages]]:
    """Open the connections to history."""
    async with open_client(settings.history_url, read_timeout=HISTORY_TIMEOUT, tracer=tracer) as client:
        tokens = ServiceTokens(
            client, auth_url=settings.auth_url, service="chat", secret=settings.internal_client_secret
        )
        yield HistoryOwners(client, tokens), HistoryMessages(client)


def _answer_cache(settings: ChatSettings, redis: Client, ports: Ports, engine: Engine) -> AnswerCache | None:
    if not settings.enable_cache:
        return None
    return AnswerCache(RedisAnswers(redis, ttl=settings.cache_ttl), ports.turns, engine.measures)


def _reconciler(
    settings: ChatSettings, turns: PostgresTurns, forgetting: Forgetting, history: KnownTurns, engine: Engine
) -> Reconciler:
    return Reconciler(
        upkeep=PostgresUpkeep(turns),
        forgetting=forgetting,
        history=history,
        measures=engine.measures,
        interval=settings.reconcile_interval,
        turn_retention=settings.turn_retention,
        event_retention=settings.event_retention,
    )


@contextlib.asynccontextmanager
async def open_streams(settings: ChatSettings) -> AsyncIterator[RedisStreams]:
    """Open the connections to the copies of logs."""
    url = settings.redis_url.get_secret_value()
    async with (
        open_redis(url, timeout=APPEND_TIMEOUT) as client,
        open_redis(url, timeout=TAIL_TIMEOUT, max_connections=1) as tail,
        open_redis(url, timeout=None, max_connections=1) as line,
    ):
        yield RedisStreams(client, tail, Appender(line, timeout=APPEND_TIMEOUT))


@contextlib.asynccontextmanager
async def open_answers(
    settings: ChatSettings, measures: Measures, tracer: Tracer | None = None
) -> AsyncIterator[Answers]:
    """Open the connections to the providers."""
    timeout = settings.openai_timeout
    async with open_session(settings.max_running_turns) as session:

        def provider_of(model: Model) -> Provider:
            provider = OpenAIProvider(session, model.target, patience=timeout)
            return provider if tracer is None else TracedProvider(provider, model, tracer)

        yield Retrying(provider_of, Breakers(), measures, max_retries=settings.openai_max_retries)


async def verify_once(settings: ChatSettings, *, settle: float, repair: bool) -> Report:
    """Compare chat's turns with history's, beside a running chat (see ``chat.events.verification``)."""
    async with contextlib.AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        pool = await stack.enter_async_context(open_pool(dsn, size=2, application="parley-verify"))
        history, _ = await stack.enter_async_context(open_history(settings))
        evidence = PostgresEvidence(PostgresTurns(pool, lambda: None))
        return await verify(evidence, history, settle=settle, repair=repair)
