"""Search terms of messages and queries."""

import pytest

from history.search.tokenizer import MAX_BIGRAMS, index_terms, query_terms


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
