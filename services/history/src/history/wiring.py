"""Construction of the history service: storage, services and background tasks."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from history.change_notifier.notifier import ChangeNotifier
from history.change_notifier.postgres import PostgresChangeSource
from history.conversations.postgres import PostgresConversationStore
from history.conversations.service import ConversationService
from history.database import Database
from history.erasure.postgres import PostgresUserDataEraser
from history.event_feed.postgres import PostgresFeedStore
from history.event_feed.service import FeedService
from history.messages.ancestry import AncestryBuilder
from history.messages.postgres import PostgresMessageStore
from history.messages.service import MessageService
from history.plans import load_plans
from history.projection.consumer import TurnEventHandler, consume_events, outcome_counter
from history.projection.postgres import PostgresProjectionStore
from history.retention.policy import retention_policy
from history.retention.purge import Purger, purge_periodically
from history.search.postgres import PostgresSearchStore
from history.search.postgres_reindexing import PostgresReindexingStore
from history.search.reindexing import Reindexer
from history.search.service import SearchService
from history.settings import HistorySettings, WorkerSettings
from history.transfer.export_service import ExportService
from history.transfer.import_service import ImportService
from history.transfer.postgres import PostgresImportStore
from history.turns.postgres import PostgresTurnLookup
from history.turns.store import TurnLookup
from history.usage.auth_client import NAMES_TIMEOUT, AuthUsernameSource
from history.usage.postgres import PostgresUsageStore
from history.usage.service import UsageService
from parley.infrastructure import Infrastructure, open_infrastructure
from parley.messaging.bus import Bus
from parley.process.tasks import background
from parley.process.worker_thread import WorkerThread, worker_thread
from parley.security.identity import Verifier
from parley.web.http_client import open_client
from parley.web.runtime import Runtime


@dataclass(frozen=True, slots=True)
class HistoryServices:
    """The services that routes find in ``app.state.wired``."""

    verifier: Verifier
    conversations: ConversationService
    messages: MessageService
    turns: TurnLookup
    search: SearchService
    usage: UsageService
    exports: ExportService
    imports: ImportService
    feed: FeedService


@dataclass(frozen=True, slots=True)
class Workers:
    """The threads for CPU-bound work of requests."""

    search: WorkerThread
    imports: WorkerThread


@contextlib.asynccontextmanager
async def wire(
    settings: HistorySettings, runtime: Runtime, *, bus: Bus | None = None
) -> AsyncIterator[HistoryServices]:
    """Open the service for the duration of the context; pass ``bus`` when several services share a process."""
    async with contextlib.AsyncExitStack() as stack:
        # The API can still read while its database is read-only; a consumer can do nothing, and verifies no token.
        worker = isinstance(settings, WorkerSettings)
        infrastructure = await stack.enter_async_context(
            open_infrastructure(settings, runtime, bus=bus, needs_writer=worker, preload_keys=not worker)
        )
        database, changes = Database(infrastructure.pool, infrastructure.queue), ChangeNotifier()
        background_database = Database(infrastructure.pool)
        source = PostgresChangeSource(background_database)
        purger = Purger(background_database, feed_retention=settings.feed_retention_hours * 3600)
        for name, run in (
            ("changes", lambda: changes.run(source)),
            ("purge", lambda: purge_periodically(purger.purge_batch, settings.purge_interval)),
        ):
            await stack.enter_async_context(background(name, run, service=runtime.service))
        if settings.run_consumer:
            indexer = stack.enter_context(worker_thread("index"))
            handler = _event_handler(database, runtime, infrastructure, changes, indexer)
            ancestry = AncestryBuilder(background_database)
            await stack.enter_async_context(background("ancestry", ancestry.run, service=runtime.service))
            reindexer = Reindexer(PostgresReindexingStore(background_database), indexer)
            await stack.enter_async_context(background("reindex", reindexer.run, service=runtime.service))
            await stack.enter_async_context(consume_events(infrastructure.bus, handler))
        workers = Workers(*(stack.enter_context(worker_thread(name)) for name in ("search", "import")))
        auth = await stack.enter_async_context(
            open_client(settings.auth_base_url(), read_timeout=NAMES_TIMEOUT, tracer=runtime.tracer)
        )
        usage = UsageService(PostgresUsageStore(database), AuthUsernameSource(auth))
        yield _services(settings, runtime, infrastructure, database, changes, workers, usage)


def _event_handler(
    database: Database,
    runtime: Runtime,
    infrastructure: Infrastructure,
    changes: ChangeNotifier,
    indexer: WorkerThread,
) -> TurnEventHandler:
    return TurnEventHandler(
        PostgresProjectionStore(database, indexer),
        PostgresUserDataEraser(database),
        changes,
        wake_relay=infrastructure.relay.hint,
        outcomes=outcome_counter(runtime.metrics.registry),
    )


def _services(
    settings: HistorySettings,
    runtime: Runtime,
    infrastructure: Infrastructure,
    database: Database,
    changes: ChangeNotifier,
    workers: Workers,
    usage: UsageService,
) -> HistoryServices:
    wake_relay = infrastructure.relay.hint
    conversation_store, message_store = PostgresConversationStore(database), PostgresMessageStore(database)
    turn_lookup = PostgresTurnLookup(database)
    plans = load_plans(settings.plans_file)
    retention = retention_policy(plans, settings.retention_days)
    conversations = ConversationService(conversation_store, changes, retention=retention, wake_relay=wake_relay)
    return HistoryServices(
        verifier=infrastructure.verifier,
        conversations=conversations,
        messages=MessageService(conversations, message_store, turn_lookup, changes),
        turns=turn_lookup,
        search=SearchService(PostgresSearchStore(database), workers.search),
        usage=usage,
        exports=ExportService(conversations, conversation_store, message_store),
        imports=ImportService(
            PostgresImportStore(database, workers.imports),
            changes,
            workers.imports,
            plans=plans,
            wake_relay=wake_relay,
            drain_started=runtime.lifecycle.drain_started,
        ),
        feed=FeedService(PostgresFeedStore(database), changes, drain_started=runtime.lifecycle.drain_started),
    )
