"""Wiring of the chat service: adapters, engine, consumers and services, opened and closed in order."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from chat.admission.admission import TurnAdmission
from chat.admission.budget_report import BudgetReports
from chat.admission.budgets import Budgets
from chat.admission.context_window import ContextLoader
from chat.admission.conversation_items import ConversationItems
from chat.admission.conversations import ConversationCreator, ConversationReader
from chat.admission.plans import ChatPlans, load_plans
from chat.admission.position import PositionResolver
from chat.admission.prompt_files import PromptFiles
from chat.admission.response_cache import ResponseCache
from chat.admission.token_limits import TokenLimits
from chat.api.dependencies import ApiServices
from chat.api.embedding_calls import EmbeddingCalls
from chat.catalogue import Catalogue
from chat.events.consumer import LifecycleEventHandler
from chat.events.deletion_reconciler import DeletionReconciler
from chat.events.reconciler import Reconciler
from chat.events.verification import VerificationReport, verify
from chat.files.image_loader import ImageLoader
from chat.files.service import OpenFiles, open_files
from chat.metrics import ChatMetrics
from chat.providers.access_check import ProviderAccess, ProviderAccessChecks, ProviderAccessError, check_in_background
from chat.providers.answer_generator import open_generators
from chat.providers.catalogue_file import load_catalogue
from chat.running.engine import EngineAdapters, open_engine
from chat.running.lease import LEASE_LENGTH
from chat.running.readers import TurnReaders
from chat.running.supervisor import Supervisor
from chat.service import ChatService
from chat.settings import ChatSettings
from chat.storage.auth_client import open_plan_lookup
from chat.storage.history_client import HistoryClient, open_history
from chat.storage.object_storage import ObjectStorage
from chat.storage.postgres_budgets import PostgresBudgetStore
from chat.storage.postgres_erasure import PostgresTurnErasureStore
from chat.storage.postgres_files import PostgresFileRows
from chat.storage.postgres_items import PostgresItemStore
from chat.storage.postgres_maintenance import PostgresMaintenanceStore
from chat.storage.postgres_runners import PostgresRunnerStore
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.postgres_verification import PostgresVerificationSource
from chat.storage.redis_response_index import RedisResponseIndex
from chat.storage.redis_turn_logs import open_log_store
from chat.turn_store import TurnStore
from parley import times
from parley.infrastructure import Infrastructure, open_infrastructure
from parley.messaging.bus import Bus
from parley.process.tasks import background
from parley.ratelimit.limiter import Limiter, open_limiter
from parley.storage.database import PostgresDatabase
from parley.storage.postgres import open_pool
from parley.web.runtime import Runtime

__all__ = ["ChatServices", "ProviderAccessError", "check_providers", "verify_once", "wire"]


@dataclass(frozen=True, slots=True)
class ChatServices(ApiServices):
    """The services of chat, in ``app.state.wired``."""

    supervisor: Supervisor
    reconciler: Reconciler


@dataclass(frozen=True, slots=True)
class ChatConfig:
    """The settings and the operator's files: the model catalogue and the plans."""

    settings: ChatSettings
    catalogue: Catalogue
    plans: ChatPlans


def load_config(settings: ChatSettings) -> ChatConfig:
    """Return the configuration; raises SettingsError if a file is unreadable or invalid."""
    return ChatConfig(settings, load_catalogue(settings), load_plans(settings.plans_file))


@contextlib.asynccontextmanager
async def wire(settings: ChatSettings, runtime: Runtime, *, bus: Bus | None = None) -> AsyncIterator[ChatServices]:
    """Open the chat service. ``bus`` is the bus of a process that runs several services."""
    config, metrics = load_config(settings), ChatMetrics(runtime.metrics.registry)
    async with (
        open_infrastructure(settings, runtime, bus=bus) as infrastructure,
        open_adapters(settings, runtime, infrastructure, metrics) as adapters,
        check_in_background(config.catalogue, runtime),
        open_services(config, runtime, infrastructure, adapters, metrics) as services,
    ):
        yield services


async def check_providers(settings: ChatSettings) -> list[ProviderAccess]:
    """Return the access to every provider of the settings."""
    return await ProviderAccessChecks(load_catalogue(settings)).check()


@contextlib.asynccontextmanager
async def open_adapters(
    settings: ChatSettings, runtime: Runtime, infrastructure: Infrastructure, metrics: ChatMetrics
) -> AsyncIterator[EngineAdapters]:
    """Open the stores and the answer generator of the turn engine."""
    turns = turn_store(infrastructure)
    async with (
        open_log_store(settings) as logs,
        open_generators(settings, metrics, runtime.tracer) as generators,
    ):
        objects = ObjectStorage(settings.files_url, settings) if settings.files_url else None
        if objects is not None:
            runtime.pings["files"] = objects.ping
        answers = ImageLoader(generators.answers, objects)
        yield EngineAdapters(turns, PostgresRunnerStore(turns), logs, answers, generators, objects)


@contextlib.asynccontextmanager
async def open_services(
    config: ChatConfig,
    runtime: Runtime,
    infrastructure: Infrastructure,
    adapters: EngineAdapters,
    metrics: ChatMetrics,
    *,
    lease_length: float = LEASE_LENGTH,
) -> AsyncIterator[ChatServices]:
    """Run the turn engine, the event consumer and the reconciler, and yield the services on top of them."""
    settings, catalogue = config.settings, config.catalogue
    turns = turn_store(infrastructure)
    budgets = Budgets(config.plans, PostgresBudgetStore(turns))
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        engine = await enter(open_engine(settings, runtime, adapters, catalogue, metrics, lease_length=lease_length))
        history = await enter(open_history(settings, runtime.tracer))
        files = await enter(open_files(_file_rows(infrastructure), adapters.objects, service=runtime.service))
        erasure = PostgresTurnErasureStore(turns)
        consumer = LifecycleEventHandler(erasure, adapters.logs, engine.supervisor, files.collector.erase)
        await enter(infrastructure.bus.consume(consumer.subscription()))
        reconciler = _reconciler(settings, turns, consumer, history, metrics)
        await enter(background("reconciler", reconciler.run, service=runtime.service))
        plans = await enter(open_plan_lookup(settings, runtime.tracer))
        cache = _response_cache(settings, infrastructure, adapters, metrics)
        token_limits = TokenLimits(await enter(_limiter(runtime, infrastructure)))
        items = PostgresItemStore(turns)
        service = ChatService(
            store=adapters.turns,
            admission=_admission(config, adapters.turns, history, budgets, token_limits, cache, files),
            supervisor=engine.supervisor,
            readers=TurnReaders(engine.supervisor, engine.remote_logs, adapters.logs),
            draining=runtime.lifecycle.drain_started,
        )
        yield ChatServices(
            verifier=infrastructure.verifier,
            service=service,
            conversations=ConversationCreator(adapters.turns, history),
            conversation_reader=ConversationReader(adapters.turns, history, ContextLoader(adapters.turns, history)),
            items=ConversationItems(items, PositionResolver(adapters.turns, history), token_limits, config.plans),
            catalogue=catalogue,
            generator=adapters.generator,
            embedding_calls=EmbeddingCalls(adapters.embeddings),
            budgets=budgets,
            budget_reports=BudgetReports(budgets, token_limits, plans),
            started_at=times.now(),
            supervisor=engine.supervisor,
            reconciler=reconciler,
            files=files.service,
        )


def _file_rows(infrastructure: Infrastructure) -> PostgresFileRows:
    return PostgresFileRows(PostgresDatabase(infrastructure.pool, queue=infrastructure.queue))


def _admission(
    config: ChatConfig,
    turns: TurnStore,
    history: HistoryClient,
    budgets: Budgets,
    token_limits: TokenLimits,
    cache: ResponseCache | None,
    files: OpenFiles,
) -> TurnAdmission:
    return TurnAdmission(
        store=turns,
        catalogue=config.catalogue,
        positions=PositionResolver(turns, history),
        contexts=ContextLoader(turns, history),
        budgets=budgets,
        token_limits=token_limits,
        turn_timeout=config.settings.turn_timeout,
        cache=cache,
        files=PromptFiles(files.rows, files.texts),
    )


def turn_store(infrastructure: Infrastructure) -> PostgresTurnStore:
    """Return the turn store of a service's database."""
    return PostgresTurnStore(infrastructure.pool, infrastructure.relay.hint, infrastructure.queue)


def _reconciler(
    settings: ChatSettings,
    turns: PostgresTurnStore,
    consumer: LifecycleEventHandler,
    history: HistoryClient,
    metrics: ChatMetrics,
) -> Reconciler:
    erasure = PostgresTurnErasureStore(turns)
    return Reconciler(
        store=PostgresMaintenanceStore(turns),
        erasure=erasure,
        deletions=DeletionReconciler(erasure, history, consumer.delete_conversation),
        history=history,
        metrics=metrics,
        interval=settings.reconcile_interval,
        turn_retention=settings.turn_retention,
        event_retention=settings.event_retention,
    )


def _limiter(runtime: Runtime, infrastructure: Infrastructure) -> AbstractAsyncContextManager[Limiter]:
    redis, registry = infrastructure.redis, runtime.metrics.registry
    return open_limiter(redis, service=runtime.service, registry=registry, timeout=infrastructure.redis_timeout)


def _response_cache(
    settings: ChatSettings, infrastructure: Infrastructure, adapters: EngineAdapters, metrics: ChatMetrics
) -> ResponseCache | None:
    if not settings.enable_cache:
        return None
    index = RedisResponseIndex(infrastructure.redis, ttl=settings.cache_ttl, timeout=infrastructure.redis_timeout)
    return ResponseCache(index, adapters.turns, metrics)


async def verify_once(settings: ChatSettings, *, settle: float, repair: bool) -> VerificationReport:
    """Compare chat's turns with history's, beside a running chat (see ``chat.events.verification``)."""
    async with contextlib.AsyncExitStack() as stack:
        dsn = settings.database_url.get_secret_value()
        pool = await stack.enter_async_context(open_pool(dsn, size=2, application="parley-verify"))
        history = await stack.enter_async_context(open_history(settings))
        source = PostgresVerificationSource(PostgresTurnStore(pool, lambda: None))
        return await verify(source, history, settle=settle, repair=repair)
