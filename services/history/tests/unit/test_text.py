"""Titles, search terms and cursors."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history import cursors
from history.conversations.titles import LONGEST, title_from
from history.search.tokenizer import MAX_BIGRAMS, terms
from parley.errors import InvalidCursor
from parley.ids import new_id


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Hello", "Hello"),
        ("\n\n  Hello   there \nsecond line", "Hello there"),
        ("a" * 100, "a" * (LONGEST - 1) + "…"),
        ("word " * 30, "word word word word word word word word word word word…"),
        ("   ", None),
        ("", None),
    ],
)
def test_a_title_is_the_first_line_that_says_something(message: str, title: str | None) -> None:
    assert title_from(message) == title


@given(st.text())
def test_a_title_is_short_and_always_the_same(message: str) -> None:
    title = title_from(message)
    assert title is None or 0 < len(title) <= LONGEST
    assert title == title_from(message)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("你好吗", ["你好", "好吗", "吗"]),
        ("see 東京 now", ["東京", "京"]),
        ("plain words", []),
        ("猫", ["猫"]),
        ("ﾃｽﾄ", ["テス", "スト", "ト"]),
    ],
)
def test_scripts_without_spaces_are_indexed_by_pairs(text: str, found: list[str]) -> None:
    assert terms(text)[1] == found


def test_the_terms_of_a_huge_text_are_bounded() -> None:
    text = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(90_000))
    assert len(terms(text)[1]) == MAX_BIGRAMS


def test_a_cursor_is_read_as_it_was_written() -> None:
    one, moment = new_id(), datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    cursor = cursors.encode("list", (str(one), 7, moment.isoformat()))
    assert cursors.decode("list", cursor, (UUID, int, datetime)) == [one, 7, moment]


@given(st.text())
def test_no_text_but_our_own_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", text, (UUID, int))


@pytest.mark.parametrize("values", [("abc", 7), (str(UUID(int=1)), True), (str(UUID(int=1)), 2**63), (1, 1), (None,)])
def test_a_cursor_with_wrong_values_is_refused(values: tuple[str | int | None, ...]) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", values), (UUID, int))
