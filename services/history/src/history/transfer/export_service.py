"""Export service: conversations as JSON or Markdown."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, TypeVar
from uuid import UUID

import orjson

from history.conversations.schemas import Conversation
from history.conversations.service import ConversationService
from history.conversations.store import ConversationStore
from history.messages.schemas import Message
from history.messages.service import MAX_PAGE_LENGTH
from history.messages.store import MessagePosition, MessageStore
from parley.process.fair_slots import FairSlots
from parley.times import iso, now

T = TypeVar("T")

ExportFormat = Literal["json", "markdown"]
JSON_FORMAT = "parley.conversation/1"
PAGE_SIZE = 100
"""Conversations or messages read in one query."""
MAX_READS = 2
"""Pages of exports that a process reads from the database at the same time, of each user in turn."""
CHUNK_LENGTH = 65_536
"""Bytes of messages that are sent at a time, or one message."""
MEDIA_TYPES: dict[ExportFormat, str] = {"json": "application/json", "markdown": "text/markdown; charset=utf-8"}
FILE_SUFFIXES: dict[ExportFormat, str] = {"json": "json", "markdown": "md"}
_SPEAKER_NAMES = {"user": "You", "assistant": "Assistant", "tool": "Tool"}


class ExportService:
    """Exports conversations page by page, so that memory use does not depend on their length."""

    def __init__(
        self, conversations: ConversationService, conversation_store: ConversationStore, messages: MessageStore
    ) -> None:
        self._conversations, self._conversation_store, self._messages = conversations, conversation_store, messages
        self._slots = FairSlots(MAX_READS)

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        """Return the conversation to export; raises ConversationNotFound."""
        return await self._conversations.get(user_id, conversation_id)

    def write(self, user_id: UUID, conversation: Conversation, export_format: ExportFormat) -> AsyncIterator[bytes]:
        """Yield a conversation of the user: all branches as JSON, or the active branch as Markdown."""
        write = self._json if export_format == "json" else self._markdown
        return write(user_id, conversation)

    async def everything(self, user_id: UUID) -> AsyncIterator[bytes]:
        """Yield every conversation of the user, one JSON object per line."""
        last: UUID | None = None
        following = partial(self._conversation_store.ids, user_id, limit=PAGE_SIZE)
        while ids := await self._read(user_id, partial(following, last)):
            for conversation_id in ids:
                # The client may have read for hours since these ids were read, and the conversation may be deleted.
                conversation = await self._conversation_store.find(user_id, conversation_id)
                if conversation is None:
                    continue
                async for part in self._json(user_id, conversation):
                    yield part
                yield b"\n"
            last = ids[-1]

    async def _json(self, user_id: UUID, conversation: Conversation) -> AsyncIterator[bytes]:
        yield export_head(conversation)
        separator = b""
        async for page in self._tree(user_id, conversation.id):
            for chunk in _chunks((message.model_dump_json().encode() for message in page), b","):
                yield separator + chunk
                separator = b","
        yield b"]}"

    async def _markdown(self, user_id: UUID, conversation: Conversation) -> AsyncIterator[bytes]:
        yield f"# {' '.join((conversation.title or 'Conversation').split())}\n".encode()
        if conversation.active_message_id is None:
            return
        whole = partial(self._messages.path, conversation.id, conversation.active_message_id, None, None)
        path = await self._read(user_id, whole)
        ids, start = path[::-1], 0
        while wanted := ids[start : start + PAGE_SIZE]:
            page = await self._read(user_id, partial(self._messages.fetch, conversation.id, wanted, MAX_PAGE_LENGTH))
            for chunk in _chunks((_paragraphs(message) for message in page.messages), b""):
                yield chunk
            start += page.read

    async def _tree(self, user_id: UUID, conversation_id: UUID) -> AsyncIterator[Sequence[Message]]:
        after: MessagePosition | None = None
        while page := await self._read(user_id, partial(self._tree_page, conversation_id, after)):
            yield page
            last = page[-1]
            after = MessagePosition(last.number, last.role, last.id)

    async def _tree_page(self, conversation_id: UUID, after: MessagePosition | None) -> Sequence[Message]:
        ids = await self._messages.tree(conversation_id, after, descending=False, limit=PAGE_SIZE)
        return (await self._messages.fetch(conversation_id, ids, MAX_PAGE_LENGTH)).messages

    async def _read(self, user_id: UUID, read: Callable[[], Awaitable[T]]) -> T:
        """Read a page. An export waits for its turn without a connection, and sends without holding others up."""
        async with self._slots.hold(user_id):
            return await read()


def export_head(conversation: Conversation) -> bytes:
    """Return the JSON text of an export up to its first message."""
    head = {"format": JSON_FORMAT, "exported_at": iso(now()), "conversation": conversation.model_dump(mode="json")}
    return orjson.dumps(head)[:-1] + b',"messages":['


def _paragraphs(message: Message) -> bytes:
    return f"\n## {_SPEAKER_NAMES[message.role]} · {iso(message.created_at)}\n\n{message.content}\n".encode()


def _chunks(parts: Iterable[bytes], separator: bytes) -> Iterator[bytes]:
    """Join small parts: sending each of them alone costs more than reading it."""
    held, length = list[bytes](), 0
    for part in parts:
        held.append(part)
        length += len(part)
        if length >= CHUNK_LENGTH:
            yield separator.join(held)
            held, length = [], 0
    if held:
        yield separator.join(held)
