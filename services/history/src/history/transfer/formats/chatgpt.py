"""ChatGPT's export format: a ``mapping`` of nodes with a parent each."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from history.messages.schemas import Role
from history.transfer.drafts import (
    MAX_CONTENT_LENGTH,
    MAX_MESSAGES,
    ConversationDraft,
    MessageDraft,
    SkippedPart,
)
from history.transfer.formats.attachments import attachment_names, named_attachments, unsupported_attachment
from history.transfer.formats.message_order import Ancestors, TooManyMessages, parents_first
from history.transfer.formats.values import MAX_MODEL_LENGTH, MAX_RAW_TITLE, in_utc, text_of
from parley.field_errors import json_pointer
from parley.web.validation import FieldValueError

NAME = "ChatGPT's `conversations.json` (each conversation has a `mapping`)"
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "tool": "tool"}
_TEXT_TYPES = frozenset({"text", "multimodal_text", "code", "execution_output"})
_IGNORED_TYPES = frozenset({"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"})
_MAX_TIMESTAMP = 253_402_300_799


def _nodes(mapping: Any) -> Any:
    if not isinstance(mapping, dict):
        raise FieldValueError("dict_type", "Must be an object.")
    if not mapping:
        raise FieldValueError("too_short", "Must have at least 1 entry.")
    return mapping


class ChatGptConversation(BaseModel):
    """One conversation of the export. The format is not documented, so every value is checked before use."""

    model_config = ConfigDict(extra="ignore")

    title: Any = None
    create_time: Any = None
    current_node: Any = None
    default_model_slug: Any = None
    mapping: Annotated[Any, AfterValidator(_nodes)]


def recognises(entry: dict[str, Any]) -> bool:
    """Return whether an entry looks like this format."""
    return "mapping" in entry


def read(entry: dict[str, Any]) -> tuple[ConversationDraft, list[SkippedPart]]:
    """Return the draft of a conversation and its unsupported parts.

    Raises ValidationError, TooManyMessages or InvalidMessageTree.
    """
    conversation = ChatGptConversation.model_validate(entry)
    default_model = text_of(conversation.default_model_slug, MAX_MODEL_LENGTH)
    skipped: list[SkippedPart] = []
    imported: dict[str, MessageDraft] = {}
    for key, node in conversation.mapping.items():
        message = _message(key, node, default_model, skipped)
        if message is not None:
            imported[key] = message
        if len(imported) > MAX_MESSAGES:
            raise TooManyMessages
    ancestors = Ancestors({key: _parent(node) for key, node in conversation.mapping.items()}, imported)
    messages = [replace(message, parent=ancestors.nearest(message.parent)) for message in imported.values()]
    active = conversation.current_node if isinstance(conversation.current_node, str) else None
    draft = ConversationDraft(
        title=text_of(conversation.title, MAX_RAW_TITLE),
        messages=parents_first(messages),
        created_at=_time(conversation.create_time),
        active=ancestors.nearest(active),
        model=default_model,
    )
    return draft, skipped


def _parent(node: Any) -> str | None:
    parent = node.get("parent") if isinstance(node, dict) else None
    return parent if isinstance(parent, str) else None


def _message(key: str, node: Any, default_model: str | None, skipped: list[SkippedPart]) -> MessageDraft | None:
    message = node.get("message") if isinstance(node, dict) else None
    if not isinstance(message, dict):
        return None
    role = _ROLES.get(str(_member(message, "author").get("role")))
    metadata = _member(message, "metadata")
    if role is None or metadata.get("is_visually_hidden_from_conversation"):
        return None
    attachments = attachment_names(metadata.get("attachments"), "name")
    skipped.extend(unsupported_attachment(json_pointer("mapping", key), name) for name in attachments)
    text = _text(key, _member(message, "content"), skipped)
    if text is not None and not text.strip():
        text = named_attachments(attachments)
    if not text:
        return None
    model = text_of(metadata.get("model_slug"), MAX_MODEL_LENGTH)
    return MessageDraft(
        key=key,
        parent=_parent(node),
        role=role,
        content=text,
        created_at=_time(message.get("create_time")),
        model=model or (default_model if role == "assistant" else None),
    )


def _text(key: str, content: dict[str, Any], skipped: list[SkippedPart]) -> str | None:
    pointer, kind = json_pointer("mapping", key), content.get("content_type")
    if kind not in _TEXT_TYPES:
        if kind not in _IGNORED_TYPES:
            skipped.append(SkippedPart(pointer, "unsupported_content", "This content type cannot be imported."))
        return None
    parts = content.get("parts")
    if not isinstance(parts, list):
        parts = [content.get("text")]
    texts = [part for part in parts if isinstance(part, str)]
    if any(isinstance(part, dict) for part in parts):
        skipped.append(SkippedPart(pointer, "unsupported_content", "Image, audio and file parts cannot be imported."))
    text = "\n".join(texts)
    if len(text) > MAX_CONTENT_LENGTH:
        skipped.append(SkippedPart(pointer, "too_long", f"Must have at most {MAX_CONTENT_LENGTH:,} characters."))
        return None
    return text


def _member(found: dict[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TIMESTAMP:
        return None
    return in_utc(datetime.fromtimestamp(value, UTC))
