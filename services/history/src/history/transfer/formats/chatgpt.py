"""ChatGPT's export: a ``mapping`` of nodes that know their parents."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from history.conversations.schemas import Role
from history.transfer.drafts import Draft, DraftMessage
from history.transfer.formats.tree import in_order

LONGEST_CONTENT = 1_000_000
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "tool": "tool"}
_TEXTS = frozenset({"text", "multimodal_text", "code", "execution_output"})
_SILENT = frozenset({"user_editable_context", "model_editable_context", "thoughts", "reasoning_recap"})
_LATEST = 253_402_300_799


class Export(BaseModel):
    """One conversation of the export; everything in it is looked at with suspicion."""

    model_config = ConfigDict(extra="ignore")

    title: Any = None
    create_time: Any = None
    current_node: Any = None
    mapping: dict[str, dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Problem:
    """A part that cannot be imported: the node, a code, and why."""

    node: str
    code: str
    detail: str


def read(found: Export) -> tuple[Draft, list[Problem]]:
    """Return the draft of a conversation and what of it cannot be imported; raises BrokenTree."""
    problems: list[Problem] = []
    kept: dict[str, DraftMessage] = {}
    for key, node in found.mapping.items():
        message = _message(key, node, problems)
        if message is not None:
            kept[key] = message
    messages = [replace(message, parent=_ancestor(found, kept, message.parent)) for message in kept.values()]
    active = found.current_node if isinstance(found.current_node, str) else None
    draft = Draft(
        title=_title(found.title),
        messages=in_order(messages),
        created_at=_time(found.create_time),
        active=_ancestor(found, kept, active),
    )
    return draft, problems


def _ancestor(found: Export, kept: dict[str, DraftMessage], key: str | None) -> str | None:
    """Return the nearest node, from ``key`` upwards, that is imported."""
    for _ in range(len(found.mapping)):
        if key is None or key in kept:
            return key
        key = _parent(found.mapping.get(key, {}))
    return None


def _parent(node: dict[str, Any]) -> str | None:
    parent = node.get("parent")
    return parent if isinstance(parent, str) else None


def _message(key: str, node: dict[str, Any], problems: list[Problem]) -> DraftMessage | None:
    message = node.get("message")
    if not isinstance(message, dict):
        return None
    role = _ROLES.get(str(_member(message, "author").get("role")))
    metadata = _member(message, "metadata")
    if role is None or metadata.get("is_visually_hidden_from_conversation"):
        return None
    text = _text(key, _member(message, "content"), problems)
    if text is None or not text.strip():
        return None
    model = metadata.get("model_slug")
    return DraftMessage(
        key=key,
        parent=_parent(node),
        role=role,
        content=text,
        created_at=_time(message.get("create_time")),
        model=model[:200].replace("\x00", "") if isinstance(model, str) else None,
    )


def _text(key: str, content: dict[str, Any], problems: list[Problem]) -> str | None:
    kind = content.get("content_type")
    if kind not in _TEXTS:
        if kind not in _SILENT:
            problems.append(Problem(key, "unsupported_content", "This kind of content is not imported."))
        return None
    parts = content.get("parts")
    if not isinstance(parts, list):
        parts = [content.get("text")]
    texts = [part for part in parts if isinstance(part, str)]
    if any(isinstance(part, dict) for part in parts):
        problems.append(Problem(key, "unsupported_content", "Image, audio and file parts are not imported."))
    text = "\n".join(texts).replace("\x00", "\ufffd")
    if len(text) > LONGEST_CONTENT:
        problems.append(Problem(key, "too_long", f"At most {LONGEST_CONTENT} characters."))
        return None
    return text


def _member(found: dict[str, Any], name: str) -> dict[str, Any]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}


def _title(value: Any) -> str | None:
    text = " ".join(value.replace("\x00", " ").split()) if isinstance(value, str) else ""
    return text or None


def _time(value: Any) -> datetime | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LATEST:
        return None
    return datetime.fromtimestamp(value, UTC)
