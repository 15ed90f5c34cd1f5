"""What an import leaves out of a broken conversation, and what it keeps."""

from typing import Any

import orjson
import pytest

from history.transfer import parsing
from history.transfer.drafts import MAX_CONTENT_LENGTH
from history.transfer.entry_scanner import RawEntry
from history_testing.imports import HI, parley_export, parse_entry

_BROKEN_MESSAGES: list[tuple[Any, str, str]] = [
    ({**HI, "id": "2", "role": "system"}, "/0/messages/1/role", "literal_error"),
    ({**HI, "id": "2", "content": None}, "/0/messages/1/content", "string_type"),
    ({"role": "user", "content": "hi"}, "/0/messages/1/id", "required"),
    ({**HI, "id": "2", "content": "x" * (MAX_CONTENT_LENGTH + 1)}, "/0/messages/1/content", "too_long"),
    (dict(HI), "/0/messages/1/id", "duplicate_id"),
    (None, "/0/messages/1", "model_type"),
]


@pytest.mark.parametrize(("broken", "pointer", "code"), _BROKEN_MESSAGES)
def test_a_broken_message_is_skipped_and_its_answers_move_up(broken: Any, pointer: str, code: str) -> None:
    answer = {**HI, "id": "3", "role": "assistant", "parent_id": "2", "content": "there"}
    if isinstance(broken, dict):
        broken = {**broken, "parent_id": "1"}
    draft, skipped = parse_entry(0, parley_export(HI, broken, answer))
    assert draft
    expected_parent = "1" if isinstance(broken, dict) and broken.get("id") == "2" else None
    assert [(one.content, one.parent) for one in draft.messages] == [("hi", None), ("there", expected_parent)]
    assert [(one.pointer, one.code) for one in skipped] == [(pointer, code)]


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"tool_calls": [{"name": "a"}, 1]}, "/tool_calls/1"),
        ({"tool_calls": [{}] * 1_001}, "/tool_calls"),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 1, "total_tokens": 0}}, "/usage/prompt_tokens"),
        ({"cost": "NaN"}, "/cost"),
        ({"cost": "1e30"}, "/cost"),
        ({"created_at": "0001-01-01T00:00:00+14:00"}, "/created_at"),
        ({"created_at": "yesterday"}, "/created_at"),
        ({"number": 0}, "/number"),
        ({"number": 2**31 - 2}, "/number"),
        ({"status": "fine"}, "/status"),
    ],
)
def test_an_invalid_detail_of_a_message_is_left_out_and_its_text_is_kept(changed: dict[str, Any], pointer: str) -> None:
    draft, skipped = parse_entry(0, parley_export({**HI, **changed}))
    assert draft
    assert [one.content for one in draft.messages] == ["hi"]
    assert [one.pointer for one in skipped] == [f"/0/messages/0{pointer}"]


@pytest.mark.parametrize(
    ("conversation", "pointer"),
    [
        ({"title": "T", "metadata": {str(number): "1" for number in range(17)}}, "/0/conversation/metadata"),
        ({"title": "T", "metadata": {"a": 1}}, "/0/conversation/metadata/a"),
        ({"title": "T", "archived": "perhaps"}, "/0/conversation/archived"),
        ({"title": "T", "tokens_used": 2**60}, "/0/conversation/tokens_used"),
    ],
)
def test_an_invalid_detail_of_a_conversation_is_left_out(conversation: dict[str, Any], pointer: str) -> None:
    draft, skipped = parse_entry(0, {**parley_export(HI), "conversation": conversation})
    assert draft
    assert (draft.title, draft.metadata, len(draft.messages)) == ("T", {}, 1)
    assert [one.pointer for one in skipped] == [pointer]


def test_a_conversation_that_had_no_messages_is_imported_and_one_that_lost_them_is_not() -> None:
    draft, skipped = parse_entry(0, parley_export(title="T"))
    assert draft
    assert (draft.title, draft.messages, skipped) == ("T", [], [])
    draft, skipped = parse_entry(0, parley_export({**HI, "role": "system"}))
    assert draft is None
    assert [one.code for one in skipped] == ["literal_error", "empty"]


@pytest.mark.parametrize("conversation", [None, [], 5])
def test_messages_are_kept_where_the_conversation_is_invalid(conversation: Any) -> None:
    draft, skipped = parse_entry(0, {**parley_export(HI), "conversation": conversation})
    assert draft
    assert [one.content for one in draft.messages] == ["hi"]
    assert [one.pointer for one in skipped] == ["/0/conversation"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b"a\\ud83d", "a\ufffd"),
        (b"\\udc4b a", "\ufffd a"),
        (b"\\ud83d\\ud83d\\udc4b", "\ufffd\U0001f44b"),
        (b"a\xffb", "a\ufffdb"),
        (b"a\xed\xa0\xbdb", "a\ufffd\ufffd\ufffdb"),
        (b"a\x01b", "a b"),
        (b"a\\u0000b", "a\ufffdb"),
    ],
)
def test_a_bad_character_is_replaced_and_reported(text: bytes, kept: str) -> None:
    entry = orjson.dumps(parley_export({**HI, "content": "HERE"}, title="T")).replace(b"HERE", text)
    parsed = parsing.parse_entry(RawEntry(0, entry))
    assert parsed.draft
    assert [one.content for one in parsed.draft.messages] == [kept]
    assert [(one.pointer, one.code) for one in parsed.skipped] == [("/0", "invalid_text")]


def test_an_escaped_backslash_is_no_bad_character() -> None:
    draft, skipped = parse_entry(0, parley_export({**HI, "content": "\\u0000 \\ud83d"}))
    assert draft
    assert (draft.messages[0].content, skipped) == ("\\u0000 \\ud83d", [])


def test_numbers_are_kept_only_when_they_are_the_order_of_the_messages() -> None:
    answer = {**HI, "id": "2", "role": "assistant", "parent_id": "1"}
    for numbers, kept in (((7, 7), [7, 7]), ((7, 6), [None, None]), ((7, None), [None, None])):
        messages = ({**HI, "number": numbers[0]}, {**answer, "number": numbers[1]})
        draft, _ = parse_entry(0, parley_export(*messages))
        assert draft
        assert [one.number for one in draft.messages] == kept


@pytest.mark.parametrize("cost", ["0E+99999", "1E-99999", "0." + "0" * 20_000])
def test_a_cost_has_digits_that_the_database_can_store(cost: str) -> None:
    draft, _ = parse_entry(0, parley_export(HI, cost=cost))
    assert draft
    assert str(draft.totals.cost) == "0E-9"
