"""Search result snippets."""

import timeit

import pytest

from history.search.normalization import PIECE_LENGTH
from history.search.query import query_terms
from history.search.snippets import MAX_SNIPPET_LENGTH, Matcher, snippet
from history.search.tokenizer import MAX_INDEXED_LENGTH


def _matches(content: str, query: str) -> list[str]:
    return [s.text for s in snippet(content, Matcher(query_terms(query))) if s.match]


@pytest.mark.parametrize(
    ("content", "query", "found"),
    [
        ("Running is fun, I ran and run.", "runs", ["Running", "run"]),
        ("happy people, happiness", "happiness", ["happy", "happiness"]),
        ("a cat, concatenate", "cat", ["cat"]),
        ("a category", "cat the", ["category"]),
        ("gregarious greeting", "gree", ["greeting"]),
        ("学习机器学习", "机器学习", ["机器学习"]),
        ("iPhone手机", "iphone 手机", ["iPhone", "手机"]),
        ("(a+b)* = c", "a b", ["a", "b"]),
        ("nothing here", "zebra", []),
        ("Straße, ＣＡＦÉ", "strasse café", ["Straße", "ＣＡＦÉ"]),
        ("hello, hi", "hi", ["hi"]),
        ("在京东京都", "京东 东京", ["京东"]),
        ("\u0130stanbul", "istanbul", ["\u0130stanbul"]),
        ("the o\ufb03ce", "office", ["o\ufb03ce"]),
        ("Cafe\u0301 au lait", "caf\u00e9", ["Cafe\u0301"]),
        ("यह हिन्दी है", "हिन्दी", ["हिन्दी"]),
        ("Donau\u00addampf", "donaudampf", ["Donau\u00addampf"]),
        ("ﾃｽﾄ", "テスト", ["ﾃｽﾄ"]),
        ("ok 👩\u200d💻", "👩\u200d💻", ["👩\u200d💻"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글", ["\u1112\u1161\u11ab\u1100\u1173\u11af"]),
    ],
)
def test_matches_are_words_stems_and_runs(content: str, query: str, found: list[str]) -> None:
    assert _matches(content, query) == found


def test_a_snippet_is_short_and_marks_where_it_was_cut() -> None:
    content = "x " * 500 + "needle" + " y" * 500
    segments = snippet(content, Matcher(query_terms("needle")))
    assert (segments[0].text, segments[-1].text[-1]) == ("…", "…")
    assert sum(len(s.text) for s in segments) == MAX_SNIPPET_LENGTH + 2
    assert [s.text for s in segments if s.match] == ["needle"]


def test_the_segments_join_to_the_text() -> None:
    content = "The quick brown fox"
    assert "".join(s.text for s in snippet(content, Matcher(query_terms("brown")))) == content


@pytest.mark.parametrize("word", ["xy ", "ab", "好"])
def test_the_work_for_a_snippet_does_not_grow_with_the_number_of_words_in_the_query(word: str) -> None:
    content = word * (MAX_INDEXED_LENGTH // len(word))
    pairs = [left + right for left in "acdegjkq" for right in "bcfhjlmn"]
    one, many = (_matcher(words) for words in (pairs[:1], pairs))

    def seconds(matcher: Matcher) -> float:
        return min(timeit.repeat(lambda: snippet(content, matcher), number=1, repeat=5))

    assert seconds(many) < 5 * seconds(one) + 0.005


def _matcher(words: list[str]) -> Matcher:
    return Matcher(query_terms(" ".join(words)))


def test_a_match_far_inside_a_text_without_spaces_is_found_across_pieces() -> None:
    for padding in range(PIECE_LENGTH - 4, PIECE_LENGTH + 2):
        assert _matches("的" * padding + "机器学习" + "的" * 3_000, "机器学习") == ["机器学习"]


def test_a_snippet_cuts_no_character_from_its_marks() -> None:
    content = "e\u0301" * 500 + " needle " + "e\u0301" * 500
    segments = snippet(content, Matcher(query_terms("needle")))
    text = "".join(s.text for s in segments).strip("…")
    assert not text.startswith("\u0301")
    assert text.endswith("\u0301")


def test_the_rest_of_a_word_that_is_cut_behind_a_mark_is_no_match() -> None:
    content = "हिन्दी " + "x" * 54 + " न्दी"
    assert _matches(content, "न्दी") == ["न्दी"]
