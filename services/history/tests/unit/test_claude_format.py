"""Claude's export format."""

from datetime import UTC, datetime
from typing import Any

import pytest

from history_testing.imports import parse_entry


def _claude(*messages: Any, **conversation: Any) -> dict[str, Any]:
    return {
        "uuid": "u",
        "name": "Trip",
        "created_at": "2026-11-22T10:00:00.123456Z",
        "chat_messages": [*messages],
        **conversation,
    }


def _said(uuid: str, sender: str, text: Any, **changed: Any) -> dict[str, Any]:
    return {"uuid": uuid, "sender": sender, "text": text, "created_at": "2026-11-22T10:00:00Z", **changed}


_NO_PARENT = "00000000-0000-4000-8000-000000000000"


def test_a_claude_export_is_read_with_its_branches() -> None:
    entry = _claude(
        _said("a", "human", "Where?", parent_message_uuid=_NO_PARENT),
        _said("b", "assistant", "Rome.", parent_message_uuid="a"),
        _said("c", "assistant", "Oslo.", parent_message_uuid="a"),
        model="claude-x",
        current_leaf_message_uuid="b",
    )
    draft, skipped = parse_entry(0, entry)
    assert draft
    assert [(one.key, one.parent, one.role, one.content, one.model) for one in draft.messages] == [
        ("a", None, "user", "Where?", None),
        ("b", "a", "assistant", "Rome.", "claude-x"),
        ("c", "a", "assistant", "Oslo.", "claude-x"),
    ]
    assert (draft.title, draft.active, draft.model, skipped) == ("Trip", "b", "claude-x", [])
    assert draft.created_at == datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)


def test_without_parents_the_messages_of_a_claude_export_follow_each_other() -> None:
    draft, _ = parse_entry(
        0, _claude(*(_said(name, "human", name) for name in "abc"), {**_said("x", "human", "d"), "uuid": None})
    )
    assert draft
    assert [(one.content, one.parent) for one in draft.messages] == [("a", None), ("b", "a"), ("c", "b"), ("d", "c")]


def test_text_of_a_claude_message_is_in_its_blocks_or_in_its_text() -> None:
    blocks = [
        {"type": "text", "text": "one"},
        {"type": "thinking", "thinking": "x"},
        {"type": "text", "text": "two"},
        5,
    ]
    entry = _claude(
        _said("a", "human", "", content=blocks),
        _said("b", "assistant", "plain", content=[{"type": "text", "text": ""}]),
        _said("c", "human", "", content=[]),
        _said("d", "assistant", None, content="odd"),
        _said("e", "assistant", "tools", content=[{"type": "tool_use", "name": "x"}]),
    )
    draft, skipped = parse_entry(0, entry)
    assert draft
    assert [(one.content, one.parent) for one in draft.messages] == [
        ("one\n\ntwo", None),
        ("plain", "a"),
        ("tools", "b"),
    ]
    assert [(one.pointer, one.code) for one in skipped] == [("/0/chat_messages/4", "unsupported_content")]


def test_attachments_of_a_claude_message_are_named() -> None:
    entry = _claude(
        _said("a", "human", "See", attachments=[{"file_name": "notes.txt", "extracted_content": "long"}]),
        _said("b", "human", "", files=[{"file_name": "photo.png"}, {}], attachments="none"),
    )
    draft, skipped = parse_entry(0, entry)
    assert draft
    assert [one.content for one in draft.messages] == ["See", "[photo.png]\n[unnamed]"]
    assert [one.detail for one in skipped] == [
        f'The attachment "{name}" cannot be imported.' for name in ("notes.txt", "photo.png", "unnamed")
    ]


@pytest.mark.parametrize("broken", [5, None, _said("x", "system", "hi"), {"sender": "robot"}, []])
def test_a_broken_message_of_a_claude_export_is_skipped_alone(broken: Any) -> None:
    draft, skipped = parse_entry(0, _claude(_said("a", "human", "hi"), broken, _said("b", "assistant", "there")))
    assert draft
    assert [one.content for one in draft.messages] == ["hi", "there"]
    assert [one.pointer for one in skipped] == ["/0/chat_messages/1"]


def test_duplicate_ids_of_a_claude_export_are_two_messages() -> None:
    draft, _ = parse_entry(0, _claude(_said("a", "human", "one"), _said("a", "assistant", "two")))
    assert draft
    assert [(one.content, one.parent) for one in draft.messages] == [("one", None), ("two", "a")]
