"""Writing conversations out, a page at a time: however long they are, little of them is in memory."""

import re
import unicodedata
from collections.abc import AsyncIterator
from typing import Literal
from urllib.parse import quote
from uuid import UUID

import orjson

from history.conversations.schemas import Conversation, Message
from history.conversations.service import ConversationService
from history.conversations.store import Conversations, Messages, Place
from parley.times import iso, now

Format = Literal["json", "markdown"]
FORMAT = "parley.conversation/1"
PAGE = 100
MEDIA_TYPES: dict[Format, str] = {"json": "application/json", "markdown": "text/markdown; charset=utf-8"}
_SPEAKERS = {"user": "You", "assistant": "Assistant", "tool": "Tool"}


class ExportService:
    """Exports one conversation, or all of a person."""

    def __init__(self, conversations: ConversationService, stored: Conversations, messages: Messages) -> None:
        """Take what reads conversations and messages."""
        self._conversations, self._stored, self._messages = conversations, stored, messages

    async def find(self, user_id: UUID, conversation_id: UUID) -> Conversation:
        """Return the conversation to be exported; raises ConversationNotFound."""
        return await self._conversations.get(user_id, conversation_id)

    def write(self, conversation: Conversation, form: Format) -> AsyncIterator[bytes]:
        """Yield a conversation in a format: all branches as JSON, the active one as Markdown."""
        return self._json(conversation) if form == "json" else self._markdown(conversation)

    async def everything(self, user_id: UUID) -> AsyncIterator[bytes]:
        """Yield every conversation of a person as a line of JSON."""
        last: UUID | None = None
        while page := await self._stored.every(user_id, last, PAGE):
            for conversation in page:
                async for part in self._json(conversation):
                    yield part
                yield b"\n"
            last = page[-1].id

    async def _json(self, conversation: Conversation) -> AsyncIterator[bytes]:
        head = {"format": FORMAT, "exported_at": iso(now()), "conversation": conversation.model_dump(mode="json")}
        yield orjson.dumps(head)[:-1] + b',"messages":['
        separator = b""
        async for message in self._tree(conversation.id):
            yield separator + message.model_dump_json().encode()
            separator = b","
        yield b"]}"

    async def _markdown(self, conversation: Conversation) -> AsyncIterator[bytes]:
        yield f"# {_one_line(conversation.title or 'Conversation')}\n".encode()
        if conversation.active_message_id is None:
            return
        path = await self._messages.path(conversation.id, conversation.active_message_id, None, None)
        ids = path[::-1]
        for start in range(0, len(ids), PAGE):
            for message in await self._messages.fetch(conversation.id, ids[start : start + PAGE]):
                yield f"\n## {_SPEAKERS[message.role]} · {iso(message.created_at)}\n\n{message.content}\n".encode()

    async def _tree(self, conversation_id: UUID) -> AsyncIterator[Message]:
        after: Place | None = None
        while page := await self._messages.tree(conversation_id, after, descending=False, limit=PAGE):
            for message in page:
                yield message
            last = page[-1]
            after = Place(last.number, last.role, last.id)


def disposition(conversation: Conversation, form: Format) -> str:
    """Return a Content-Disposition that names the file after the conversation (RFC 6266)."""
    suffix = "json" if form == "json" else "md"
    title = _one_line(conversation.title or "conversation")
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    ascii_name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.") or "conversation"
    full_name = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', "-", title).strip("-. ") or "conversation"
    return f"attachment; filename=\"{ascii_name}.{suffix}\"; filename*=UTF-8''{quote(full_name, safe='')}.{suffix}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
