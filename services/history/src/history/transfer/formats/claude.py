"""Claude's export format: ``chat_messages`` with a parent each, or in their order."""

from dataclasses import replace
from typing import Any

from history.messages.schemas import Role
from history.transfer.drafts import (
    MAX_CONTENT_LENGTH,
    MAX_MESSAGES,
    ConversationDraft,
    MessageDraft,
    SkippedPart,
)
from history.transfer.formats.attachments import attachment_names, named_attachments, unsupported_attachment
from history.transfer.formats.message_order import (
    Ancestors,
    InvalidConversation,
    TooManyMessages,
    in_order,
)
from history.transfer.formats.values import MAX_MODEL_LENGTH, MAX_RAW_TITLE, key_of, text_of, time_of
from parley.field_errors import json_pointer

NAME = "Claude's `conversations.json` (each conversation has `chat_messages`)"
_ROLES: dict[str, Role] = {"human": "user", "assistant": "assistant"}
_IGNORED_BLOCKS = frozenset({"thinking", "redacted_thinking", "token_budget", "flag"})


class NoMessageList(InvalidConversation):
    """The messages are not a list."""

    code, detail = "list_type", "`chat_messages` must be an array."


def recognises(entry: dict[str, Any]) -> bool:
    """Return whether an entry looks like this format."""
    return "chat_messages" in entry


def read(entry: dict[str, Any]) -> tuple[ConversationDraft, list[SkippedPart]]:
    """Return the draft of a conversation and its unsupported parts; raises InvalidConversation."""
    messages = entry["chat_messages"]
    if not isinstance(messages, list):
        raise NoMessageList
    if len(messages) > MAX_MESSAGES:
        raise TooManyMessages
    skipped: list[SkippedPart] = []
    parents = _parents(messages)
    imported: dict[str, MessageDraft] = {}
    model = text_of(entry.get("model"), MAX_MODEL_LENGTH)
    for index, (message, key) in enumerate(zip(messages, parents, strict=True)):
        found = _message(index, key, message, model, skipped)
        if found is not None:
            imported[key] = found
    ancestors = Ancestors(parents, imported)
    drafts = [replace(one, parent=ancestors.nearest(parents[key])) for key, one in imported.items()]
    draft = ConversationDraft(
        title=text_of(entry.get("name"), MAX_RAW_TITLE),
        messages=in_order(drafts),
        created_at=time_of(entry.get("created_at")),
        active=ancestors.nearest(key_of(entry.get("current_leaf_message_uuid"))),
        model=model,
    )
    return draft, skipped


def _parents(messages: list[Any]) -> dict[str, str | None]:
    """Return the parent of each message, by a key that is unique.

    A message without an id, or with that of an earlier one, gets a key of its own. Older exports do not name parents:
    there, each message follows the one before.
    """
    parents: dict[str, str | None] = {}
    before: str | None = None
    for index, message in enumerate(messages):
        value = message if isinstance(message, dict) else {}
        key = key_of(value.get("uuid"))
        if key is None or key in parents:
            key = f"\0{index}"  # no key of the file has this character
        parents[key] = key_of(value.get("parent_message_uuid")) if "parent_message_uuid" in value else before
        before = key
    return parents


def _message(index: int, key: str, message: Any, model: str | None, skipped: list[SkippedPart]) -> MessageDraft | None:
    pointer = json_pointer("chat_messages", index)
    role = _ROLES.get(str(message.get("sender"))) if isinstance(message, dict) else None
    if role is None:
        skipped.append(SkippedPart(pointer, "literal_error", "`sender` must be `human` or `assistant`."))
        return None
    names = [
        *attachment_names(message.get("attachments"), "file_name"),
        *attachment_names(message.get("files"), "file_name"),
    ]
    skipped.extend(unsupported_attachment(pointer, name) for name in names)
    text = _text(pointer, message, skipped)
    if not text.strip():
        text = named_attachments(names)
    if not text:
        return None
    if len(text) > MAX_CONTENT_LENGTH:
        skipped.append(SkippedPart(pointer, "too_long", f"Must have at most {MAX_CONTENT_LENGTH:,} characters."))
        return None
    return MessageDraft(
        key=key,
        parent=None,
        role=role,
        content=text,
        created_at=time_of(message.get("created_at")),
        model=model if role == "assistant" else None,
    )


def _text(pointer: str, message: dict[str, Any], skipped: list[SkippedPart]) -> str:
    """Return the text blocks of a message, or its ``text`` where there are none."""
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    kinds = {str(block.get("type"))[:50] for block in blocks} - {"text"} - _IGNORED_BLOCKS
    if kinds:
        detail = f"These parts cannot be imported: {', '.join(sorted(kinds)[:10])}."
        skipped.append(SkippedPart(pointer, "unsupported_content", detail))
    joined = "\n\n".join(text for text in texts if text)
    plain = message.get("text")
    return joined if joined.strip() or not isinstance(plain, str) else plain
