"""Opens and closes everything history needs."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from history.adapters.conversations import PostgresConversations
from history.adapters.messages import PostgresMessages, PostgresTurns
from history.adapters.projection import PostgresProjection
from history.changes import Changes
from history.handlers import Handlers, consumer, outcomes_counter
from history.plans import read_retention
from history.ports import Conversations, Turns
from history.service import ConversationService, MessageService
from history.settings import HistorySettings
from parley.backing import open_backing
from parley.bus.ports import Bus
from parley.identity import Verifier
from parley.runtime import Runtime
from parley.tasks import background


@dataclass(frozen=True, slots=True)
class Wired:
    """What the API finds in ``app.state.wired``."""

    verifier: Verifier
    conversations: ConversationService
    messages: MessageService
    stored: Conversations
    turns: Turns
    changes: Changes


@contextlib.asynccontextmanager
async def wire(settings: HistorySettings, runtime: Runtime, *, bus: Bus | None = None) -> AsyncIterator[Wired]:
    """Open history; ``bus`` is given when several services share a process."""
    async with contextlib.AsyncExitStack() as stack:
        backing = await stack.enter_async_context(open_backing(settings, runtime, bus=bus))
        changes = Changes()
        stored, turns = PostgresConversations(backing.pool), PostgresTurns(backing.pool)
        conversations = ConversationService(
            stored,
            changes,
            retention=read_retention(settings.plans_file, settings.retention_days),
            hint=backing.relay.hint,
        )
        messages = MessageService(conversations, PostgresMessages(backing.pool), turns, changes)
        handlers = Handlers(
            PostgresProjection(backing.pool),
            changes,
            hint=backing.relay.hint,
            outcomes=outcomes_counter(runtime.metrics.registry),
        )
        await stack.enter_async_context(background("changes", lambda: changes.poll(turns), service=runtime.service))
        if settings.run_consumer:
            await stack.enter_async_context(consumer(backing.bus, handlers))
        yield Wired(backing.verifier, conversations, messages, stored, turns, changes)
