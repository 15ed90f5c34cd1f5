"""Search result snippets: the text around the first match, with every match marked."""

import re
from collections.abc import Iterator, Sequence

from history.search.normalization import normalize
from history.search.schemas import Segment
from history.search.tokenizer import LETTER, WORD, QueryTerms

CONTEXT_BEFORE = 60
"""Characters of a snippet before its first match."""
MAX_SNIPPET_LENGTH = 200
"""Characters of a whole snippet."""
MAX_SUFFIX_LENGTH = 4
"""Letters after a stem that still count as the same word, as in `match` and `matching`."""
MAX_WORD_LENGTH = 500
"""Characters of a word in the text that are compared with the query."""
_LETTER = re.compile(LETTER)
_ELLIPSIS = "…"


class Matcher:
    """Finds the words, stems and runs of a query in a text.

    Takes time in proportion to the length of the text: the words of the text are looked up in the words of the query.
    """

    def __init__(self, terms: QueryTerms, stems: Sequence[str]) -> None:
        self._words = frozenset(terms.words)
        self._prefix = terms.words[-1] if terms.words else None
        # The English stemmer turns a final y into i.
        self._stems = frozenset(stem.removesuffix("i") for stem in stems if len(stem) > 1)
        self._runs = terms.runs

    def first(self, content: str) -> int | None:
        """Return the start of the first match."""
        starts = [start for run in self._runs if (start := content.find(run)) >= 0]
        nearest = min(starts, default=None)
        word = next(self._matching_words(content, 0, len(content) if nearest is None else nearest), None)
        return nearest if word is None else word[0]

    def matches(self, content: str, begin: int, end: int) -> list[tuple[int, int]]:
        """Return start and end of the matches between two positions, which do not overlap."""
        found = sorted([*self._matching_words(content, begin, end), *self._matching_runs(content, begin, end)])
        matches: list[tuple[int, int]] = []
        for match in found:
            if not matches or match[0] >= matches[-1][1]:
                matches.append(match)
        return matches

    def _matching_words(self, content: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
        for match in WORD.finditer(content, begin, end):
            cut = match.start() == begin and begin and _LETTER.match(content, begin - 1)
            if not cut and self._is_match(match[0]):
                yield match.span()

    def _matching_runs(self, content: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
        for run in self._runs:
            start = content.find(run, begin, end)
            while start >= 0:
                yield start, start + len(run)
                start = content.find(run, start + len(run), end)

    def _is_match(self, word: str) -> bool:
        plain = word.lower() if word.isascii() else normalize(word, MAX_WORD_LENGTH)
        if plain in self._words or (self._prefix and plain.startswith(self._prefix)):
            return True
        shortest = max(2, len(plain) - MAX_SUFFIX_LENGTH)
        return any(plain[:size] in self._stems for size in range(shortest, len(plain) + 1))


def snippet(content: str, matcher: Matcher) -> list[Segment]:
    """Return the text around the first match, split into matching and other segments."""
    begin = max(0, (matcher.first(content) or 0) - CONTEXT_BEFORE)
    end = min(len(content), begin + MAX_SNIPPET_LENGTH)
    segments: list[Segment] = []
    at = begin
    for start, stop in matcher.matches(content, begin, end):
        _add(segments, content[at:start], match=False)
        _add(segments, content[start:stop], match=True)
        at = stop
    _add(segments, content[at:end] + (_ELLIPSIS if end < len(content) else ""), match=False)
    if begin:
        segments.insert(0, Segment(text=_ELLIPSIS, match=False))
    return segments


def _add(segments: list[Segment], text: str, *, match: bool) -> None:
    if text:
        segments.append(Segment(text=text, match=match))
