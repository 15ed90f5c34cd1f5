"""Search terms of messages and queries."""

import itertools
import sys
import time
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
from history.search.query import MAX_QUERY_LENGTH, query_terms
from history.search.tokenizer import (
    LONG,
    MAX_BIGRAMS,
    MAX_INDEXED_LENGTH,
    MAX_POSITION,
    MAX_POSITIONS,
    MAX_WORD_LENGTH,
    RUN,
    find_tokens,
    index_terms,
)


def _terms(text: str) -> dict[str, str]:
    """Return the positions of each term of a message."""
    found = (term.rsplit(":", 1) for term in index_terms(text).split())
    return {term.removeprefix("'~").removesuffix("'"): positions for term, positions in found}


def _words(text: str) -> list[str]:
    """Return the words of a message in their order."""
    return [token.text for token in find_tokens(normalize(text, MAX_INDEXED_LENGTH)) if not token.is_run]


def _bigrams(text: str) -> list[str]:
    return [term for term in _terms(text) if RUN.match(term)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("你好吗", ["你好", "好吗", "吗"]),
        ("see 東京 now", ["东京", "京"]),
        ("plain words", []),
        ("猫", ["猫"]),
        ("ﾃｽﾄ", ["テス", "スト", "ト"]),
    ],
)
def test_scripts_without_spaces_are_indexed_by_bigrams(text: str, found: list[str]) -> None:
    assert _bigrams(text) == found


def test_the_terms_of_a_huge_text_are_bounded() -> None:
    text = "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(90_000))
    assert len(_bigrams(text)) == MAX_BIGRAMS


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


@pytest.mark.parametrize("marks", ["\u0315\u0300", "\uff9e\u0315", "\u0327\u0323\u0301"])
def test_the_time_to_index_a_text_is_proportional_to_its_length(marks: str) -> None:
    ordinary, hostile = "e\u0301" * (MAX_INDEXED_LENGTH // 2), "e" + marks * (MAX_INDEXED_LENGTH // len(marks))
    assert _seconds_to_index(hostile) < 5 * _seconds_to_index(ordinary)


def _seconds_to_index(text: str) -> float:
    """Return the processor time, which other work on the machine does not lengthen."""
    return min(timeit.repeat(lambda: index_terms(text), timer=time.thread_time, number=1, repeat=3))


def test_characters_that_normalization_expands_count_with_their_full_length() -> None:
    assert len(" ".join(_words("\ufdfa" * MAX_INDEXED_LENGTH))) <= MAX_INDEXED_LENGTH
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
    assert _words(text) == words
    assert not _bigrams(text)


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
    assert _bigrams(text) == found


def test_a_long_word_is_cut_in_the_index_and_in_the_query() -> None:
    (word,) = _words("\u00fc" * 5_000)
    assert len(word) == MAX_WORD_LENGTH
    assert query_terms("\u00fc" * 200).words == ("\u00fc" * 200,)


def test_terms_have_their_positions_and_english_words_their_stems() -> None:
    assert _terms("Running, über 機器 now running") == {
        "running": "1,6",
        "run": "1,6",
        "über": "2",
        "机器": "3",
        "器": "4",
        "now": "5",
    }


def test_a_text_with_more_positions_than_the_index_holds_is_marked() -> None:
    assert "_" not in _terms("a " * MAX_POSITIONS)
    assert _terms("a " * 1_000)["_"] == "1"
    found = _terms("a " * MAX_POSITION + "last one")
    assert (found["_"], found["last"]) == ("1", str(MAX_POSITION))


_WORDS = ["a", "run", "runs", "running", "runner", "ran", "x1", "2", "the", "The", "Machines", "machine", "MACHINE"]


@given(st.lists(st.sampled_from(_WORDS), max_size=300))
def test_the_terms_of_a_short_text_are_those_that_it_has_in_a_long_one(words: list[str]) -> None:
    text = " ".join(words)
    short = {term: {*map(int, places.split(","))} for term, places in _terms(text).items()}
    long = {
        term: {*map(int, places.split(","))} for term, places in _terms(f"{text} {'z ' * (MAX_POSITIONS + 1)}").items()
    }
    del long["z"]
    long.pop(LONG)
    assert short == long or len(words) > MAX_POSITIONS
