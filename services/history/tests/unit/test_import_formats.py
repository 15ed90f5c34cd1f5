"""Parsing of ChatGPT's and Parley's export formats."""

from datetime import UTC, datetime
from typing import Any

import pytest

from history.transfer.drafts import MAX_CONTENT_LENGTH, MAX_MESSAGES
from history.transfer.formats.message_order import Ancestors
from history.transfer.formats.parley import MAX_INVALID
from history.transfer.parsing import MAX_TITLE_LENGTH
from history_testing.imports import HI, parley_export, parse_entry


def _node(parent: str | None, role: str, *parts: Any, kind: str = "text", **metadata: Any) -> dict[str, Any]:
    content = {"content_type": kind, "parts": list(parts)}
    return {"parent": parent, "message": {"author": {"role": role}, "content": content, "metadata": metadata}}


def _chatgpt(**mapping: dict[str, Any]) -> dict[str, Any]:
    return {"title": "Trip", "mapping": mapping}


def _contents(entry: dict[str, Any]) -> list[tuple[str, str | None]]:
    draft, _ = parse_entry(0, entry)
    assert draft
    return [(message.content, message.parent) for message in draft.messages]


def test_chatgpt_nodes_without_text_are_left_out_and_their_children_move_up() -> None:
    entry = _chatgpt(
        root={"parent": None, "message": None},
        system=_node("root", "system", "You are helpful."),
        a=_node("system", "user", "Where?"),
        empty=_node("a", "assistant", " "),
        hidden=_node("empty", "user", "x", is_visually_hidden_from_conversation=True),
        b=_node("hidden", "assistant", "Rome.", "Oslo."),
    )
    assert _contents(entry) == [("Where?", None), ("Rome.\nOslo.", "a")]


def test_unsupported_chatgpt_content_is_reported_and_thoughts_are_ignored() -> None:
    entry = _chatgpt(
        **{
            "a/b": _node(None, "user", {"asset": 1}, "What is this?", kind="multimodal_text"),
            "c": _node("a/b", "assistant", "x", kind="hologram"),
            "d": _node("a/b", "assistant", "x", kind="thoughts"),
            "e": _node("a/b", "assistant", "x" * (MAX_CONTENT_LENGTH + 1)),
        }
    )
    draft, skipped = parse_entry(3, entry)
    assert draft
    assert [message.content for message in draft.messages] == ["What is this?"]
    assert [(one.pointer, one.code) for one in skipped] == [
        ("/3/mapping/a~1b", "unsupported_content"),
        ("/3/mapping/c", "unsupported_content"),
        ("/3/mapping/e", "too_long"),
    ]


def test_a_chain_of_nodes_without_a_message_is_followed_once() -> None:
    length = 20_000
    chain = {f"n{i}": {"parent": f"n{i - 1}" if i else None, "message": None} for i in range(length)}
    leaves = {f"m{i}": _node(f"n{length - 1}", "user", "hi") for i in range(5_000)}
    draft, _ = parse_entry(0, _chatgpt(**chain, **leaves))
    assert draft
    assert {message.parent for message in draft.messages} == {None}


class _CountedMapping(dict[str, str | None]):
    reads = 0

    def get(self, key: str, default: Any = None) -> Any:
        self.reads += 1
        return super().get(key, default)


def test_each_node_is_visited_once_also_in_a_cycle() -> None:
    mapping = _CountedMapping({f"n{i}": f"n{(i + 1) % 1_000}" for i in range(1_000)})
    ancestors = Ancestors(mapping, {"m"})
    assert [ancestors.nearest(f"n{i}") for i in range(1_000)] == [None] * 1_000
    mapping.update(n0="m", m=None)
    assert Ancestors(mapping, {"m"}).nearest("n5") == "m"
    assert mapping.reads <= 2_000


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1795307719.5, datetime(2026, 11, 22, 0, 35, 19, 500000, tzinfo=UTC)),
        (True, None),
        (-1, None),
        (1e300, None),
        ("soon", None),
    ],
)
def test_an_invalid_chatgpt_time_is_ignored(value: object, expected: datetime | None) -> None:
    draft, _ = parse_entry(0, {**_chatgpt(a=_node(None, "user", "hi")), "create_time": value})
    assert draft
    assert draft.created_at == expected


def test_the_active_node_is_the_nearest_imported_one() -> None:
    entry = {**_chatgpt(a=_node(None, "user", "hi"), b=_node("a", "assistant", "")), "current_node": "b"}
    draft, _ = parse_entry(0, entry)
    assert draft
    assert draft.active == "a"


def test_a_parley_export_keeps_title_flags_metadata_and_models() -> None:
    entry = parley_export(
        {"id": "2", "parent_id": "1", "role": "assistant", "content": "yes", "status": "running", "model": "large"},
        {"id": "1", "role": "user", "content": "hi"},
        title="x" * 300,
        archived=True,
        active_message_id="2",
        metadata={"a": "b"},
    )
    draft, skipped = parse_entry(0, entry)
    assert draft
    assert (draft.archived, draft.active, draft.metadata, skipped) == (True, "2", {"a": "b"}, [])
    assert draft.title
    assert len(draft.title) == MAX_TITLE_LENGTH
    assert [(message.content, message.status, message.model) for message in draft.messages] == [
        ("hi", "completed", None),
        ("yes", "incomplete", "large"),
    ]


@pytest.mark.parametrize(
    ("entry", "pointer", "code"),
    [
        (parley_export({**HI, "parent_id": "2"}, {**HI, "id": "2", "parent_id": "1"}), "/0", "broken_tree"),
        (parley_export({**HI, "role": "system"}), "/0/messages/0/role", "literal_error"),
        (parley_export(*({**HI, "id": str(number)} for number in range(MAX_MESSAGES + 1))), "/0", "too_long"),
        (_chatgpt(**{str(n): _node(None, "user", "hi") for n in range(MAX_MESSAGES + 1)}), "/0", "too_long"),
        ({"mapping": []}, "/0/mapping", "dict_type"),
        ({"format": "parley.conversation/2"}, "/0/format", "literal_error"),
        ({"format": "other/1"}, "/0", "unknown_format"),
        ({"chat_messages": {}}, "/0", "list_type"),
        ({"hello": 1}, "/0", "unknown_format"),
        (5, "/0", "unknown_format"),
        (_chatgpt(), "/0/mapping", "too_short"),
    ],
)
def test_an_entry_that_cannot_be_imported_is_skipped_with_a_reason(entry: object, pointer: str, code: str) -> None:
    draft, skipped = parse_entry(0, entry)
    assert draft is None
    assert (skipped[0].pointer, skipped[0].code) == (pointer, code)


def test_the_number_of_reported_messages_is_bounded() -> None:
    _, skipped = parse_entry(0, parley_export(*[1] * (2 * MAX_INVALID)))
    assert [one.pointer for one in skipped] == [*(f"/0/messages/{number}" for number in range(MAX_INVALID)), "/0"]


def test_a_message_whose_parent_is_missing_becomes_a_root() -> None:
    child = {**HI, "id": "2", "parent_id": "1", "content": "there"}
    assert [content for content, _ in _contents(parley_export(child, {**HI, "parent_id": "elsewhere"}))] == [
        "hi",
        "there",
    ]


def test_the_default_model_of_a_chatgpt_conversation_made_the_answers_that_name_none() -> None:
    entry = _chatgpt(
        a=_node(None, "user", "hi"),
        b=_node("a", "assistant", "one"),
        c=_node("a", "assistant", "two", model_slug="gpt-large"),
    )
    draft, _ = parse_entry(0, {**entry, "default_model_slug": "gpt-small"})
    assert draft
    assert [one.model for one in draft.messages] == [None, "gpt-small", "gpt-large"]
    assert draft.model == "gpt-small"


def test_a_chatgpt_message_that_is_only_a_file_names_it() -> None:
    files = [{"name": "plan.pdf", "id": "x"}, 5]
    draft, skipped = parse_entry(0, _chatgpt(a=_node(None, "user", "", attachments=files)))
    assert draft
    assert [one.content for one in draft.messages] == ["[plan.pdf]"]
    assert [(one.pointer, one.code) for one in skipped] == [("/0/mapping/a", "unsupported_content")]
    assert "plan.pdf" in skipped[0].detail


@pytest.mark.parametrize("time", [0, -1, 253_402_300_799, 253_402_300_799.9999, 1e300])
def test_chatgpt_times_outside_of_the_plausible_years_are_absent(time: float) -> None:
    draft, _ = parse_entry(0, {**_chatgpt(a=_node(None, "user", "Hi")), "create_time": time})
    assert draft
    assert draft.created_at == (datetime(1970, 1, 1, tzinfo=UTC) if time == 0 else None)
