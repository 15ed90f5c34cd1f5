"""Message service: the active branch or the whole tree of a conversation, and waiting for a turn."""

from dataclasses import dataclass
from uuid import UUID

from history.change_notifier.notifier import ChangeNotifier
from history.conversations.schemas import Conversation
from history.conversations.service import ConversationService
from history.messages.schemas import BranchResponse, Message, Order
from history.messages.store import BranchQuery, MessagePosition, MessageStore
from history.turns.store import TurnLookup
from parley.process.fair_slots import FairSlots
from parley.process.locks import held_within
from parley.process.timeouts import at_most
from parley.web import cursors
from parley.web.schemas import Page

TURN_WAIT_TIMEOUT = 2.0
"""Maximum seconds that ``wait_for`` delays a response."""
MAX_PAGE_LENGTH = 4_000_000
"""Characters of messages with which a page of them ends."""
MAX_PAGES = 16
"""Pages of messages that a process reads at a time. Each is in memory until it is complete."""
MAX_PAGES_OF_USER = 4
"""Those of one user."""
PAGE_TIMEOUT = 10.0
"""Seconds that a page waits for others."""
TOO_MANY_PAGES = "Too many pages of messages are being read. Try again later."


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """The messages to list: active branch or tree, order, page, and a turn to wait for."""

    order: Order = "asc"
    tree: bool = False
    wait_for: UUID | None = None
    cursor: str | None = None
    limit: int = 20


class MessageService:
    """The messages of a user's conversations."""

    def __init__(
        self,
        conversations: ConversationService,
        store: MessageStore,
        turns: TurnLookup,
        changes: ChangeNotifier,
        *,
        turn_wait_timeout: float = TURN_WAIT_TIMEOUT,
    ) -> None:
        self._conversations, self._store, self._turns, self._changes = conversations, store, turns, changes
        self._turn_wait_timeout = turn_wait_timeout
        self._pages = FairSlots(MAX_PAGES, MAX_PAGES_OF_USER)

    async def page(self, user_id: UUID, conversation_id: UUID, query: MessageQuery) -> Page[Message]:
        """Return a page of messages; raises ConversationNotFound, InvalidCursor or Overloaded."""
        if query.wait_for:
            # Wait before the conversation is read: the turn may be the one that creates it. A user who does not own the
            # conversation waits for the full timeout, so the delay does not reveal whether the turn exists.
            await self._wait_for_turn(user_id, conversation_id, query.wait_for)
        conversation = await self._conversations.get(user_id, conversation_id)
        async with held_within(PAGE_TIMEOUT, self._pages.hold(user_id), TOO_MANY_PAGES):
            if query.tree:
                return await self._tree(conversation_id, query)
            return await self._branch(conversation, query)

    async def branch(self, wanted: BranchQuery) -> BranchResponse:
        """Return the newest messages of a branch, without their siblings."""
        return await self._store.branch(wanted)

    async def _wait_for_turn(self, user_id: UUID, conversation_id: UUID, turn_id: UUID) -> None:
        with self._changes.watch_turn(turn_id) as may_have_ended:
            async with at_most(self._turn_wait_timeout):
                while not await self._turns.has_ended(user_id, conversation_id, turn_id):
                    await may_have_ended.wait()
                    may_have_ended.clear()

    async def _tree(self, conversation_id: UUID, query: MessageQuery) -> Page[Message]:
        kind = f"tree {conversation_id} {query.order}"
        after = None
        if query.cursor is not None:
            number, role, last = cursors.decode(kind, query.cursor, (int, str, UUID))
            after = MessagePosition(number, role, last)
        descending = query.order == "desc"
        ids = await self._store.tree(conversation_id, after, descending=descending, limit=query.limit + 1)
        found = await self._store.fetch(conversation_id, ids[: query.limit], MAX_PAGE_LENGTH)
        next_cursor = None
        if found.read < len(ids) and found.messages:
            last_shown = found.messages[-1]
            next_cursor = cursors.encode(kind, (last_shown.number, last_shown.role, str(last_shown.id)))
        return Page(data=found.messages, next_cursor=next_cursor)

    async def _branch(self, conversation: Conversation, query: MessageQuery) -> Page[Message]:
        kind = f"branch {conversation.id} {query.order}"
        leaf, last = conversation.active_message_id, None
        if query.cursor is not None:
            # The cursor names its branch, so a turn that starts another branch does not change the list.
            leaf, last = cursors.decode(kind, query.cursor, (UUID, UUID))
        if leaf is None:
            return Page(data=[], next_cursor=None)
        ids = await self._branch_ids(conversation.id, leaf, last, query)
        found = await self._store.fetch(conversation.id, ids[: query.limit], MAX_PAGE_LENGTH)
        has_more = found.read < len(ids)
        next_cursor = cursors.encode(kind, (str(leaf), str(ids[found.read - 1]))) if has_more else None
        return Page(data=found.messages, next_cursor=next_cursor)

    async def _branch_ids(
        self, conversation_id: UUID, leaf: UUID, last: UUID | None, query: MessageQuery
    ) -> list[UUID]:
        if query.order == "asc":
            return await self._store.path_down(conversation_id, leaf, last, query.limit + 1)
        if last is None:
            return await self._store.path(conversation_id, leaf, None, query.limit + 1)
        above = await self._store.path(conversation_id, last, None, query.limit + 2)
        return [message_id for message_id in above if message_id != last]
