"""Search terms of messages and queries."""

import itertools
import sys
import timeit
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.search.normalization import MAX_COMBINING_MARKS, bound_marks, marks_pattern, normalize
from history.search.tokenizer import MAX_BIGRAMS, MAX_INDEXED_LENGTH, MAX_QUERY_LENGTH, index_terms, query_terms


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
def test_scripts_without_spaces_are_indexed_by_bigrams(text: str, found: list[str]) -> None:
    assert index_terms(text)[1] == found


def test_the_terms_of_a_huge_text_are_bounded() -> None:
    text = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(90_000))
    assert len(index_terms(text)[1]) == MAX_BIGRAMS


@pytest.mark.parametrize(
    ("query", "words", "bigrams"),
    [
        ("Quick FOX", "'quick' & 'fox':*", ""),
        ("机器学习", "", "'机器' & '器学' & '学习'"),
        ("iphone 手", "'iphone':*", "'手':*"),
        ("!?", "", ""),
    ],
)
def test_a_query_becomes_words_with_a_prefix_at_the_end_and_bigrams(query: str, words: str, bigrams: str) -> None:
    terms = query_terms(query)
    assert (terms.words_tsquery(), terms.bigrams_tsquery()) == (words, bigrams)


def _marks(count: int) -> str:
    """Return combining marks in an order that takes quadratic time to sort."""
    return "\u0315\u0300" * (count // 2)


def test_combining_marks_in_a_row_are_bounded_before_the_text_is_normalized() -> None:
    for marks in (_marks(100), "\uff9e\u0315" * 50, "\u0300" * 100):
        assert bound_marks(f"a{marks}b{marks[:10]}") == f"a{marks[:MAX_COMBINING_MARKS]}b{marks[:10]}"
    assert bound_marks("Ünïcödé สวัสดี") == "Ünïcödé สวัสดี"


def test_every_character_that_decomposes_into_marks_counts_as_a_mark() -> None:
    everything = map(chr, itertools.chain(range(0xD800), range(0xE000, sys.maxunicode + 1)))
    marks = {c for c in everything if unicodedata.combining(unicodedata.normalize("NFKD", c)[0])}
    assert marks == set(marks_pattern()) - set("[]")


@pytest.mark.alone
@pytest.mark.parametrize("marks", ["\u0315\u0300", "\uff9e\u0315", "\u0327\u0323\u0301"])
def test_the_time_to_index_a_text_is_proportional_to_its_length(marks: str) -> None:
    ordinary, hostile = "e\u0301" * (MAX_INDEXED_LENGTH // 2), "e" + marks * (MAX_INDEXED_LENGTH // len(marks))
    baseline = min(timeit.repeat(lambda: index_terms(ordinary), number=1, repeat=3))
    assert min(timeit.repeat(lambda: index_terms(hostile), number=1, repeat=3)) < 5 * baseline


def test_characters_that_normalization_expands_count_with_their_full_length() -> None:
    words, _ = index_terms("\ufdfa" * MAX_INDEXED_LENGTH)
    assert len(words) <= MAX_INDEXED_LENGTH
    assert len(query_terms("\ufdfa" * 200).words) <= MAX_QUERY_LENGTH // 2


@given(st.text(st.characters(codec="utf-8"), max_size=200), st.integers(0, 3_000))
def test_a_text_normalized_in_pieces_is_normalized(text: str, padding: int) -> None:
    text = "word " * (padding // 5) + text
    expected = unicodedata.normalize("NFKC", bound_marks(text)).casefold()
    assert normalize(text, len(text) * 20) == expected
