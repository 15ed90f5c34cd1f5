"""Tokenizer of messages and search queries.

Scripts that put spaces between words are indexed by word. Scripts that do not, and emoji, are indexed by bigram, a pair
of neighbouring characters, because bigrams need no dictionary. A trigram index does not work here: the most common
Chinese words have two characters.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from history.search.characters import SPACELESS, word_pattern
from history.search.normalization import normalize

INDEX_VERSION = 2
"""Version of the terms. A new one makes the stored messages be indexed again."""
MAX_INDEXED_LENGTH = 50_000
"""Characters of a message that are indexed. The rest is stored but cannot be found."""
MAX_BIGRAMS = 10_000
MAX_QUERY_LENGTH = 400
"""Characters of a normalized search query. A query has up to 200, of which some become 18."""
MAX_WORD_LENGTH = 500
"""Characters of a word that are indexed and compared."""

RUN = re.compile(f"[{SPACELESS}]+")


def find_words(plain: str) -> list[str]:
    """Return the words of normalized text."""
    words: list[str] = word_pattern(plain).findall(plain)
    return words if max(map(len, words), default=0) <= MAX_WORD_LENGTH else [word[:MAX_WORD_LENGTH] for word in words]


def index_terms(text: str) -> tuple[str, list[str]]:
    """Return the words of a message, separated by spaces, and its bigrams.

    Takes milliseconds for a long text: run it in a worker thread.
    """
    plain = normalize(text, MAX_INDEXED_LENGTH)
    return " ".join(find_words(plain)), bigrams(plain)


def bigrams(plain: str) -> list[str]:
    """Return the bigrams of each run without spaces, and the last character of each run as a term of its own."""
    found: dict[str, None] = {}
    for match in RUN.finditer(plain):
        run = match[0]
        for i in range(len(run)):
            found[run[i : i + 2]] = None
        if len(found) >= MAX_BIGRAMS:
            break
    return list(found)[:MAX_BIGRAMS]


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """The words of a query, and its runs of characters without spaces."""

    words: tuple[str, ...]
    runs: tuple[str, ...]

    def words_tsquery(self) -> str:
        """Return the words as a Postgres tsquery. The last word also matches as a prefix."""
        return _words_tsquery(self.words, self.words[-1:])

    def other_words_tsquery(self) -> str:
        """Return the words that are not English as a tsquery."""
        return _words_tsquery([word for word in self.words if not word.isascii()], self.words[-1:])

    def english_words(self) -> str:
        """Return the words that may be English, separated by spaces."""
        return " ".join(word for word in self.words if word.isascii())

    def english_tsquery(self) -> str:
        """Return the words that may be English as a tsquery, whose words Postgres stems."""
        return _words_tsquery(self.english_words().split(), self.words[-1:])

    def bigrams_tsquery(self) -> str:
        """Return the bigrams of the runs as a Postgres tsquery."""
        return " & ".join(_bigrams_tsquery(run) for run in self.runs)


def query_terms(query: str) -> QueryTerms:
    """Return the terms of a search query."""
    plain = normalize(query, MAX_QUERY_LENGTH)
    return QueryTerms(tuple(find_words(plain)), tuple(RUN.findall(plain)))


def _words_tsquery(words: Sequence[str], prefix: Sequence[str]) -> str:
    last = len(words) if words and prefix and words[-1] == prefix[0] else 0
    return " & ".join(f"'{word}'{':*' if position == last else ''}" for position, word in enumerate(words, 1))


def _bigrams_tsquery(run: str) -> str:
    if len(run) == 1:
        return f"'{run}':*"
    return " & ".join(f"'{run[i : i + 2]}'" for i in range(len(run) - 1))
