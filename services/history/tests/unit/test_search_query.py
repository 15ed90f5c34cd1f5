"""Search queries and the tsquery of each."""

import pytest

from history.search.query import query_terms


@pytest.mark.parametrize(
    ("query", "tsquery"),
    [
        ("Quick FOX", "'~quick' & '~fox':*"),
        ("running", "('~running':* | '~run')"),
        ("runs fast", "('~runs' | '~run') & '~fast':*"),
        ("über über", "'~über' & '~über':*"),
        ("iphone 手", "('~iphone':* | '~iphon') & '~手':*"),
        ("手机", "'~手机'"),
        ("机器学习", "(('~机器' <1> '~器学' <1> '~学习') | ('~机器' & '~器学' & '~学习' & '~_'))"),
        ("the cat", "'~cat':*"),
        ("the", "'~the':*"),
        ("to be", "'~to' & '~be':*"),
        ("!?", ""),
        ("-cat", ""),
        ("-", ""),
    ],
)
def test_a_query_looks_for_every_word_of_which_the_last_is_a_prefix(query: str, tsquery: str) -> None:
    assert query_terms(query).tsquery == tsquery


@pytest.mark.parametrize(
    ("query", "tsquery"),
    [
        ('"machine learning"', "('~machine' <1> '~learning')"),
        ("\u201cto be\u201d", "('~to' <1> '~be')"),
        ('cat "the mat"', "'~cat':* & ('~the' <1> '~mat')"),
        ('"学 a"', "('~学':* <1> '~a')"),
        ('"机器 learning"', "('~机器' <2> '~learning')"),
        ('"use 机器学 now"', "('~use' <1> '~机器' <1> '~器学' <2> '~now')"),
        ('"open', "'~open':*"),
        ('""', ""),
    ],
)
def test_words_in_quotation_marks_are_neighbours_as_written(query: str, tsquery: str) -> None:
    assert query_terms(query).tsquery == tsquery


@pytest.mark.parametrize(
    ("query", "tsquery"),
    [
        ("cat -dog", "'~cat':* & !('~dog')"),
        ("-dog cat", "'~cat':* & !('~dog')"),
        ('cat -"big dog"', "'~cat':* & !('~big' <1> '~dog')"),
        ("猫 -机器学", "'~猫':* & !('~机器' <1> '~器学')"),
        ("cat -well-known", "'~cat':* & !('~well' <1> '~known')"),
        ("well-known", "'~well' & '~known':*"),
        ("cat - dog", "'~cat' & '~dog':*"),
    ],
)
def test_a_word_behind_a_minus_is_excluded(query: str, tsquery: str) -> None:
    assert query_terms(query).tsquery == tsquery


def test_messages_of_an_earlier_release_are_found_by_words_in_any_order() -> None:
    assert query_terms('cats "the mat" -机器学').earlier_tsquery == (
        "('cats':* | 'cat') & 'the' & 'mat' & !('机器' & '器学')"
    )


def test_what_is_marked_are_the_words_that_are_looked_for() -> None:
    terms = query_terms('running "the mat" 机器 -dog')
    assert terms.words == ("running", "the", "mat")
    assert (terms.runs, terms.stems, terms.prefix) == (("机器",), ("run",), "running")


def test_traditional_and_simplified_characters_find_each_other() -> None:
    assert query_terms("機器").tsquery == query_terms("机器").tsquery == "'~机器'"
    assert query_terms("機器").earlier_tsquery == "'機器'"
