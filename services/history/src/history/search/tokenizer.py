"""Tokenizer of messages and search queries.

Scripts that put spaces between words are indexed by word. Scripts that do not are indexed by bigram, a pair of
neighbouring characters, because bigrams need no dictionary. A trigram index does not work here: the most common Chinese
words have two characters.
"""

import re
from dataclasses import dataclass

from history.search.normalization import normalize

MAX_INDEXED_LENGTH = 50_000
"""Characters of a message that are indexed. The rest is stored but cannot be found."""
MAX_BIGRAMS = 10_000
MAX_QUERY_LENGTH = 400
"""Characters of a normalized search query. A query has up to 200, of which some become 18."""

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
    "\uac00-\ud7af"  # Hangul
)
RUN = re.compile(f"[{_SPACELESS}]+")
LETTER = rf"[^\W_{_SPACELESS}]"
"""Pattern of one letter or digit in a script that puts spaces between words."""
WORD = re.compile(f"{LETTER}+")


def index_terms(text: str) -> tuple[str, list[str]]:
    """Return the words of a message, separated by spaces, and its bigrams.

    Takes milliseconds for a long text: run it in a worker thread.
    """
    plain = normalize(text, MAX_INDEXED_LENGTH)
    return " ".join(WORD.findall(plain)), bigrams(plain)


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
        return " & ".join(f"'{word}'{':*' if i == len(self.words) else ''}" for i, word in enumerate(self.words, 1))

    def bigrams_tsquery(self) -> str:
        """Return the bigrams of the runs as a Postgres tsquery."""
        return " & ".join(_bigrams_tsquery(run) for run in self.runs)


def query_terms(query: str) -> QueryTerms:
    """Return the terms of a search query."""
    plain = normalize(query, MAX_QUERY_LENGTH)
    return QueryTerms(tuple(WORD.findall(plain)), tuple(RUN.findall(plain)))


def _bigrams_tsquery(run: str) -> str:
    if len(run) == 1:
        return f"'{run}':*"
    return " & ".join(f"'{run[i : i + 2]}'" for i in range(len(run) - 1))
