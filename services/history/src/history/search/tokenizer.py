"""Search terms of scripts that do not put spaces between words: two characters each, because that needs no dictionary.

A trigram index cannot do this: two-character words, the most common in Chinese, have no trigram.
"""

import re
import unicodedata
from dataclasses import dataclass

INDEXED = 50_000
"""Characters of a message that can be found; what comes later is stored, not indexed."""
MAX_BIGRAMS = 10_000

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
    "\uac00-\ud7af"  # Hangul
)
RUN = re.compile(f"[{_SPACELESS}]+")
LETTER = rf"[^\W_{_SPACELESS}]"
"""The pattern of a letter or digit of a script that does put spaces between words."""
WORD = re.compile(f"{LETTER}+")


def normalised(text: str) -> str:
    """Return the text as it is compared: one form of each character, without case."""
    return unicodedata.normalize("NFKC", text).casefold()


def terms(text: str) -> tuple[str, list[str]]:
    """Return what the index holds of a message: its words, a space between them, and its bigrams."""
    # Cut twice: some characters become many. What Postgres indexes of one text must stay below a megabyte.
    plain = normalised(text[:INDEXED])[:INDEXED]
    return " ".join(WORD.findall(plain)), bigrams(plain)


def bigrams(plain: str) -> list[str]:
    """Return the terms of the spaceless runs: each pair of neighbours, and the last character alone."""
    found: dict[str, None] = {}
    for match in RUN.finditer(plain):
        run = match[0]
        for i in range(len(run)):
            found[run[i : i + 2]] = None
        if len(found) >= MAX_BIGRAMS:
            break
    return list(found)[:MAX_BIGRAMS]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The terms of a query."""

    words: tuple[str, ...]
    runs: tuple[str, ...]

    def lexemes(self) -> str:
        """Return the words as a Postgres query; the last one also stands for words that begin with it."""
        return " & ".join(f"'{word}'{':*' if i == len(self.words) else ''}" for i, word in enumerate(self.words, 1))

    def pairs(self) -> str:
        """Return the runs as a Postgres query."""
        return " & ".join(_pairs(run) for run in self.runs)


def wanted(query: str) -> Wanted:
    """Return the terms of what somebody searches for."""
    plain = normalised(query)
    return Wanted(tuple(WORD.findall(plain)), tuple(RUN.findall(plain)))


def _pairs(run: str) -> str:
    if len(run) == 1:
        return f"'{run}':*"
    return " & ".join(f"'{run[i : i + 2]}'" for i in range(len(run) - 1))
