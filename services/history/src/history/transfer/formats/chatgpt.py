"""ChatGPT's export format: a ``mapping`` of nodes with a parent each."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from history.messages.schemas import Role
from history.transfer.drafts import MAX_CONTENT_LENGTH, MAX_MESSAGES, ConversationDraft, MessageDraft
from history.transfer.formats.message_order import TooManyMessages, parents_first
from parley.web.problems import FieldValueError

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "tool": "tool"}
_TEXT_TYPES = frozenset({"text", "multimodal_text", "code", "execution_output"})
_IGNORED_TYPES = frozenset({"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"})
_MAX_TIMESTAMP = 253_402_300_799
MAX_RAW_TITLE = 1_000
"""Characters of a title that are read before it is shortened."""


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
    mapping: Annotated[Any, AfterValidator(_nodes)]


@dataclass(frozen=True, slots=True)
class UnsupportedPart:
    """A part that cannot be imported: its node, a code and the reason."""

    node: str
    code: str
    detail: str


def read(conversation: ChatGptConversation) -> tuple[ConversationDraft, list[UnsupportedPart]]:
    """Return the draft of a conversation and its unsupported parts; raises TooManyMessages or InvalidMessageTree."""
    unsupported: list[UnsupportedPart] = []
    imported: dict[str, MessageDraft] = {}
    for key, node in conversation.mapping.items():
        message = _message(key, node, unsupported)
        if message is not None:
            imported[key] = message
        if len(imported) > MAX_MESSAGES:
            raise TooManyMessages
    ancestors = Ancestors(conversation.mapping, imported)
    messages = [replace(message, parent=ancestors.nearest(message.parent)) for message in imported.values()]
    active = conversation.current_node if isinstance(conversation.current_node, str) else None
    draft = ConversationDraft(
        title=_title(conversation.title),
        messages=parents_first(messages),
        created_at=_time(conversation.create_time),
        active=ancestors.nearest(active),
    )
    return draft, unsupported


class Ancestors:
    """Finds the nearest imported node at or above a node. Each node is visited once."""

    def __init__(self, mapping: dict[str, Any], imported: Collection[str]) -> None:
        self._mapping, self._imported = mapping, imported
        self._nearest: dict[str, str | None] = {}

    def nearest(self, key: str | None) -> str | None:
        """Return the key of the node, or None when there is none up to the root."""
        path: list[str] = []
        while key is not None and key not in self._imported and key not in self._nearest:
            path.append(key)
            self._nearest[key] = None  # also ends a cycle
            key = _parent(self._mapping.get(key))
        found = self._nearest.get(key, key) if key is not None else None
        self._nearest.update(dict.fromkeys(path, found))
        return found


def _parent(node: Any) -> str | None:
    parent = node.get("parent") if isinstance(node, dict) else None
    return parent if isinstance(parent, str) else None


def _message(key: str, node: Any, unsupported: list[UnsupportedPart]) -> MessageDraft | None:
    message = node.get("message") if isinstance(node, dict) else None
    if not isinstance(message, dict):
        return None
    role = _ROLES.get(str(_member(message, "author").get("role")))
    metadata = _member(message, "metadata")
    if role is None or metadata.get("is_visually_hidden_from_conversation"):
        return None
    text = _text(key, _member(message, "content"), unsupported)
    if text is None or not text.strip():
        return None
    model = metadata.get("model_slug")
    return MessageDraft(
        key=key,
        parent=_parent(node),
        role=role,
        content=text,
        created_at=_time(message.get("create_time")),
        model=model[:200].replace("\x00", "") if isinstance(model, str) else None,
    )


def _text(key: str, content: dict[str, Any], unsupported: list[UnsupportedPart]) -> str | None:
    kind = content.get("content_type")
    if kind not in _TEXT_TYPES:
        if kind not in _IGNORED_TYPES:
            unsupported.append(UnsupportedPart(key, "unsupported_content", "This content type cannot be imported."))
        return None
    parts = content.get("parts")
    if not isinstance(parts, list):
        parts = [content.get("text")]
    texts = [part for part in parts if isinstance(part, str)]
    if any(isinstance(part, dict) for part in parts):
        unsupported.append(
            UnsupportedPart(key, "unsupported_content", "Image, audio and file parts cannot be imported.")
        )
    text = "\n".join(texts).replace("\x00", "\ufffd")
    if len(text) > MAX_CONTENT_LENGTH:
        unsupported.append(UnsupportedPart(key, "too_long", f"Must be at most {MAX_CONTENT_LENGTH} characters."))
        return None
    return text


def _member(found: dict[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _title(value: Any) -> str | None:
    text = " ".join(value[:MAX_RAW_TITLE].replace("\x00", " ").split()) if isinstance(value, str) else ""
    return text or None


def _time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_TIMESTAMP:
        return None
    return datetime.fromtimestamp(value, UTC)
