"""Opens and closes everything history needs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from history.adapters.conversations import PostgresConversations
from history.adapters.database import Database
from history.adapters.feed import PostgresFeed
from history.adapters.imports import PostgresImports
from history.adapters.janitor import PostgresJanitor
from history.adapters.messages import PostgresMessages, PostgresTurns
from history.adapters.projection import PostgresProjection
from history.adapters.search import PostgresSearch
from history.adapters.usage import PostgresUsage
from history.changes import Changes
from history.export import ExportService
from history.feed import FeedService
from history.handlers import Handlers, consumer, outcomes_counter
from history.importing import ImportService
from history.plans import read_retention
from history.ports import Conversations, Janitor, Turns
from history.search import SearchService
from history.service import ConversationService, MessageService
from history.settings import HistorySettings
from history.usage import UsageService
from parley.infrastructure import Backing, open_backing
from parley.process.tasks import background
from parley.security.identity import Verifier
from parley.web.runtime import Runtime
from parley_events.bus import Bus


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
        backing = await stack.enter_async_context(open_backing(settings, runtime, bus=bus))
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


def _handlers(backing: Backing, runtime: Runtime, changes: Changes) -> Handlers:
    outcomes = outcomes_counter(runtime.metrics.registry)
    return Handlers(PostgresProjection(Database(backing.pool)), changes, hint=backing.relay.hint, outcomes=outcomes)


def _services(settings: HistorySettings, runtime: Runtime, backing: Backing, changes: Changes) -> Wired:
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
        feed=FeedService(PostgresFeed(database), changes, drained=runtime.lifecycle.drained),
        stored=stored,
        turns=turns,
    )
