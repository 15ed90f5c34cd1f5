"""Automatic conversation titles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.conversations.titles import MAX_TITLE_LENGTH, title_from


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Hello", "Hello"),
        ("\n\n  Hello   there \nsecond line", "Hello there"),
        ("a" * 100, "a" * (MAX_TITLE_LENGTH - 1) + "…"),
        ("word " * 30, "word word word word word word word word word word word…"),
        ("   ", None),
        ("", None),
    ],
)
def test_a_title_is_the_first_line_that_is_not_blank(message: str, title: str | None) -> None:
    assert title_from(message) == title


@given(st.text())
def test_a_title_is_short_and_deterministic(message: str) -> None:
    title = title_from(message)
    assert title is None or 0 < len(title) <= MAX_TITLE_LENGTH
    assert title == title_from(message)
