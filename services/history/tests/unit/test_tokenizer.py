"""Search terms of messages and queries."""

import itertools
import sys
import timeit
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.search.normalization import (
    MAX_COMBINING_MARKS,
    PIECE_LENGTH,
    bound_marks,
    fold,
    fold_with_offsets,
    marks_pattern,
    normalize,
)
from history.search.tokenizer import (
    MAX_BIGRAMS,
    MAX_INDEXED_LENGTH,
    MAX_QUERY_LENGTH,
    MAX_WORD_LENGTH,
    index_terms,
    query_terms,
)


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
    assert normalize(text, len(text) * 20) == fold(text)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_a_normalized_text_knows_where_its_characters_come_from(text: str) -> None:
    plain, starts, ends = fold_with_offsets(text)
    assert plain == fold(text)
    assert len(starts) == len(ends) == len(plain)
    assert all(0 <= start < end <= len(text) for start, end in zip(starts, ends, strict=True))
    assert starts == sorted(starts)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_no_character_is_cut_from_its_marks_between_two_pieces() -> None:
    text = "x" * (PIECE_LENGTH - 1) + "e\u0301" + "y" * 10
    assert "\u00e9" in normalize(text, 2_000)
    assert "\ud55c" in normalize("x" * (PIECE_LENGTH - 1) + "\u1112\u1161\u11ab", 2_000)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("বাংলা, தமிழ்!", ["বাংলা", "தமிழ்"]),
        ("\u0130stanbul ISPARTA \u0131s\u0131", ["istanbul", "isparta", "isi"]),
        ("o\ufb01ce stra\u00dfe STRA\u1e9eE", ["ofice", "strasse", "strasse"]),
        ("e\u0301te\u0301", ["\u00e9t\u00e9"]),
        ("\u0643\u0650\u062a\u064e\u0627\u0628 \u0643\u0640\u062a\u0627\u0628", ["\u0643\u062a\u0627\u0628"] * 2),
        ("Donau\u00addampf pass\u200bword", ["donaudampf", "password"]),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", ["\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"]),
        ("l'homme don\u2019t foo_bar a.b", ["l", "homme", "don", "t", "foo", "bar", "a", "b"]),
        ("\u0301 alone \u0301", ["alone"]),
        ("x\u00b2 \u2160", ["x2", "i"]),
        ("\u03a3\u03c2", ["\u03c3\u03c3"]),
    ],
)
def test_words_have_their_marks_and_are_normalized(text: str, words: list[str]) -> None:
    assert index_terms(text) == (" ".join(words), [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ok 👩🏽\u200d💻", ["👩🏽", "🏽💻", "💻"]),
        ("❤\ufe0f", ["❤"]),
        ("ภาษา", ["ภา", "าษ", "ษา", "า"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["한글", "글"]),
        ("ﾊﾟｽ", ["パス", "ス"]),
    ],
)
def test_emoji_and_composed_letters_are_found_by_bigrams(text: str, found: list[str]) -> None:
    assert index_terms(text)[1] == found


def test_a_long_word_is_cut_in_the_index_and_in_the_query() -> None:
    (word,) = index_terms("\u00fc" * 5_000)[0].split()
    assert len(word) == MAX_WORD_LENGTH
    assert query_terms("\u00fc" * 200).words == ("\u00fc" * 200,)


@pytest.mark.parametrize(
    ("query", "english", "other"),
    [
        ("running हिन्दी", "'running'", "'हिन्दी':*"),
        ("हिन्दी running", "'running':*", "'हिन्दी'"),
        ("über über", "", "'über' & 'über':*"),
    ],
)
def test_only_words_in_ascii_are_stemmed(query: str, english: str, other: str) -> None:
    terms = query_terms(query)
    assert (terms.english_tsquery(), terms.other_words_tsquery()) == (english, other)
