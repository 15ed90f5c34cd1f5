"""Search result snippets."""

import pytest

from history.search.snippets import MAX_SNIPPET_LENGTH, matcher, snippet
from history.search.tokenizer import query_terms


def _matches(content: str, query: str, *stems: str) -> list[str]:
    return [s.text for s in snippet(content, matcher(query_terms(query), stems)) if s.match]


@pytest.mark.parametrize(
    ("content", "query", "stems", "found"),
    [
        ("Running is fun, I ran and run.", "runs", ["run"], ["Running", "run"]),
        ("happy people, happiness", "happiness", ["happi"], ["happy", "happiness"]),
        ("a cat, concatenate", "cat", ["cat"], ["cat"]),
        ("gregarious greeting", "gree", ["gree"], ["greeting"]),
        ("学习机器学习", "机器学习", [], ["机器学习"]),
        ("iPhone手机", "iphone 手机", ["iphon"], ["iPhone", "手机"]),
        ("(a+b)* = c", "a b", [], ["a", "b"]),
        ("nothing here", "zebra", ["zebra"], []),
    ],
)
def test_matches_are_words_stems_and_runs(content: str, query: str, stems: list[str], found: list[str]) -> None:
    assert _matches(content, query, *stems) == found


def test_a_snippet_is_short_and_marks_where_it_was_cut() -> None:
    content = "x " * 500 + "needle" + " y" * 500
    segments = snippet(content, matcher(query_terms("needle"), ["needl"]))
    assert (segments[0].text, segments[-1].text[-1]) == ("…", "…")
    assert sum(len(s.text) for s in segments) == MAX_SNIPPET_LENGTH + 2
    assert [s.text for s in segments if s.match] == ["needle"]


def test_the_segments_join_to_the_text() -> None:
    content = "The quick brown fox"
    assert "".join(s.text for s in snippet(content, matcher(query_terms("brown"), ["brown"]))) == content
