"""Export service: conversations as JSON or Markdown."""

from collections.abc import AsyncIterator
from typing import Literal
from uuid import UUID

import orjson

from history.conversations.schemas import Conversation
from history.conversations.service import ConversationService
from history.conversations.store import ConversationStore
from history.messages.schemas import Message
from history.messages.store import MessagePosition, MessageStore
from parley.times import iso, now

ExportFormat = Literal["json", "markdown"]
JSON_FORMAT = "parley.conversation/1"
PAGE_SIZE = 100
"""Conversations or messages read in one query."""
MEDIA_TYPES: dict[ExportFormat, str] = {"json": "application/json", "markdown": "text/markdown; charset=utf-8"}
FILE_SUFFIXES: dict[ExportFormat, str] = {"json": "json", "markdown": "md"}
_SPEAKER_NAMES = {"user": "You", "assistant": "Assistant", "tool": "Tool"}


class ExportService:
    """Exports conversations page by page, so that memory use does not depend on their length."""

    def __init__(
        self, conversations: ConversationService, conversation_store: ConversationStore, messages: MessageStore
    ) -> None:
        self._conversations, self._conversation_store, self._messages = conversations, conversation_store, messages

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        """Return the conversation to export; raises ConversationNotFound."""
        return await self._conversations.get(user_id, conversation_id)

    def write(self, conversation: Conversation, export_format: ExportFormat) -> AsyncIterator[bytes]:
        """Yield a conversation: all branches as JSON, or the active branch as Markdown."""
        return self._json(conversation) if export_format == "json" else self._markdown(conversation)

    async def everything(self, user_id: UUID) -> AsyncIterator[bytes]:
        """Yield every conversation of the user, one JSON object per line."""
        last: UUID | None = None
        while page := await self._conversation_store.page_by_id(user_id, last, PAGE_SIZE):
            for listed in page:
                # The client may have read for hours since the page was.
                conversation = await self._conversation_store.find(user_id, listed.id)
                if conversation is None:
                    continue
                async for part in self._json(conversation):
                    yield part
                yield b"\n"
            last = page[-1].id

    async def _json(self, conversation: Conversation) -> AsyncIterator[bytes]:
        yield export_head(conversation)
        separator = b""
        async for message in self._tree(conversation.id):
            yield separator + message.model_dump_json().encode()
            separator = b","
        yield b"]}"

    async def _markdown(self, conversation: Conversation) -> AsyncIterator[bytes]:
        yield f"# {' '.join((conversation.title or 'Conversation').split())}\n".encode()
        if conversation.active_message_id is None:
            return
        path = await self._messages.path(conversation.id, conversation.active_message_id, None, None)
        ids = path[::-1]
        for start in range(0, len(ids), PAGE_SIZE):
            for message in await self._messages.fetch(conversation.id, ids[start : start + PAGE_SIZE]):
                yield f"\n## {_SPEAKER_NAMES[message.role]} · {iso(message.created_at)}\n\n{message.content}\n".encode()

    async def _tree(self, conversation_id: UUID) -> AsyncIterator[Message]:
        after: MessagePosition | None = None
        while page := await self._messages.tree(conversation_id, after, descending=False, limit=PAGE_SIZE):
            for message in page:
                yield message
            last = page[-1]
            after = MessagePosition(last.number, last.role, last.id)


def export_head(conversation: Conversation) -> bytes:
    """Return the JSON text of an export up to its first message."""
    head = {"format": JSON_FORMAT, "exported_at": iso(now()), "conversation": conversation.model_dump(mode="json")}
    return orjson.dumps(head)[:-1] + b',"messages":['
