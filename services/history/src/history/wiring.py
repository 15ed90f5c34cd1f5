"""Opens and closes everything history needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from history.changes.notifier import Changes
from history.conversations.postgres import PostgresConversations
from history.conversations.service import ConversationService, MessageService
from history.conversations.store import Conversations, Janitor, Turns
from history.database import Database
from history.feed.postgres import PostgresFeed
from history.feed.service import FeedService
from history.messages.postgres import PostgresMessages, PostgresTurns
from history.projection.consumer import Handlers, consumer, outcomes_counter
from history.projection.postgres import PostgresProjection
from history.retention.policy import read_retention
from history.retention.purge import PostgresJanitor
from history.search.postgres import PostgresSearch
from history.search.service import SearchService
from history.settings import HistorySettings
from history.transfer.export_service import ExportService
from history.transfer.import_service import ImportService
from history.transfer.postgres import PostgresImports
from history.usage.postgres import PostgresUsage
from history.usage.service import UsageService
from parley.infrastructure import Infrastructure, open_infrastructure
from parley.messaging.bus import Bus
from parley.process.tasks import background
from parley.security.identity import Verifier
from parley.web.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Wired:
    """What the API finds in ``app.state.wired``."""

    verifier: Verifier
    conversations: ConversationService
    messages: MessageService
    search: SearchService
    usage: UsageService
    export: ExportService
    imports: ImportService
    feed: FeedService
    stored: Conversations
    turns: Turns


@contextlib.asynccontextmanager
async def wire(settings: HistorySettings, runtime: Runtime, *, bus: Bus | None = None) -> AsyncIterator[Wired]:
    """Open history; ``bus`` is given when several services share a process."""
    async with contextlib.AsyncExitStack() as stack:
        backing = await stack.enter_async_context(open_infrastructure(settings, runtime, bus=bus))
        changes, turns = Changes(), PostgresTurns(Database(backing.pool))
        janitor = PostgresJanitor(Database(backing.pool), feed_retention=settings.feed_retention_hours * 3600)
        for name, loop in (
            ("changes", lambda: changes.poll(turns)),
            ("janitor", lambda: sweep(janitor, settings.purge_interval)),
        ):
            await stack.enter_async_context(background(name, loop, service=runtime.service))
        if settings.run_consumer:
            await stack.enter_async_context(consumer(backing.bus, _handlers(backing, runtime, changes)))
        yield _services(settings, runtime, backing, changes)


async def sweep(janitor: Janitor, interval: float) -> None:
    """Let the janitor remove everything that is due, every ``interval`` seconds; never returns by itself."""
    while True:
        while await janitor.sweep():
            await asyncio.sleep(0)
        await asyncio.sleep(interval)


def _handlers(backing: Infrastructure, runtime: Runtime, changes: Changes) -> Handlers:
    outcomes = outcomes_counter(runtime.metrics.registry)
    return Handlers(PostgresProjection(Database(backing.pool)), changes, hint=backing.relay.hint, outcomes=outcomes)


def _services(settings: HistorySettings, runtime: Runtime, backing: Infrastructure, changes: Changes) -> Wired:
    database, hint = Database(backing.pool), backing.relay.hint
    stored, messages, turns = PostgresConversations(database), PostgresMessages(database), PostgresTurns(database)
    retention = read_retention(settings.plans_file, settings.retention_days)
    conversations = ConversationService(stored, changes, retention=retention, hint=hint)
    return Wired(
        verifier=backing.verifier,
        conversations=conversations,
        messages=MessageService(conversations, messages, turns, changes),
        search=SearchService(PostgresSearch(database)),
        usage=UsageService(PostgresUsage(database)),
        export=ExportService(conversations, stored, messages),
        imports=ImportService(PostgresImports(database), changes, hint=hint),
        feed=FeedService(PostgresFeed(database), changes, drained=runtime.lifecycle.drain_started),
        stored=stored,
        turns=turns,
    )
