"""Search result snippets: the text around the first match, with every match marked."""

import functools
import re
from collections.abc import Iterator

from history.search.characters import extending_class, word_pattern
from history.search.normalization import PIECE_LENGTH, fold, fold_with_offsets, pieces
from history.search.query import QueryTerms
from history.search.schemas import Segment
from history.search.tokenizer import MAX_WORD_LENGTH

CONTEXT_BEFORE = 60
"""Characters of a snippet before its first match."""
MAX_SNIPPET_LENGTH = 200
"""Characters of a whole snippet."""
MAX_SUFFIX_LENGTH = 4
"""Letters after a stem that still count as the same word, as in `match` and `matching`."""
_ELLIPSIS = "…"


class Matcher:
    """Finds the words, stems and runs of a query in a text.

    Takes time in proportion to the length of the text: the words of the text are looked up in the words of the query.
    """

    def __init__(self, terms: QueryTerms) -> None:
        self._words = frozenset(terms.words)
        self._prefix = terms.prefix
        # The English stemmer turns a final y into i.
        self._stems = frozenset(stem.removesuffix("i") for stem in terms.stems if len(stem) > 1)
        self._runs = terms.runs

    def first(self, content: str) -> int | None:
        """Return the start of the first match."""
        for start, end in _overlapping_pieces(content):
            if next(self._matches(fold(content[start:end])), None) is not None:
                found = self.matches(content, start, end)
                if found:
                    return found[0][0]
        return None

    def matches(self, content: str, begin: int, end: int) -> list[tuple[int, int]]:
        """Return start and end of the matches between two positions, which do not overlap."""
        plain, starts, ends = fold_with_offsets(content[begin:end])
        cut = _begins_inside_a_word(content, begin)
        matches: list[tuple[int, int]] = []
        for start, stop in sorted(self._matches(plain)):
            first, last = begin + starts[start], begin + ends[stop - 1]
            if not (cut and start == 0) and (not matches or first >= matches[-1][1]):
                matches.append((first, last))
        return matches

    def _matches(self, plain: str) -> Iterator[tuple[int, int]]:
        """Yield the matches in normalized text: words first, then runs."""
        for match in word_pattern(plain).finditer(plain) if self._words else ():
            if self._is_match(match[0]):
                yield match.span()
        for run in self._runs:
            start = plain.find(run)
            while start >= 0:
                yield start, start + len(run)
                start = plain.find(run, start + len(run))

    def _is_match(self, word: str) -> bool:
        plain = word[:MAX_WORD_LENGTH]
        if plain in self._words or (self._prefix and plain.startswith(self._prefix)):
            return True
        shortest = max(2, len(plain) - MAX_SUFFIX_LENGTH)
        return any(plain[:size] in self._stems for size in range(shortest, len(plain) + 1))


def snippet(content: str, matcher: Matcher) -> list[Segment]:
    """Return the text around the first match, split into matching and other segments."""
    first = matcher.first(content) or 0
    begin = _cluster_start(content, max(0, first - CONTEXT_BEFORE))
    end = min(_cluster_start(content, begin + MAX_SNIPPET_LENGTH), len(content))
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


def _overlapping_pieces(content: str) -> Iterator[tuple[int, int]]:
    """Yield the pieces of a text. One that ends inside a run without spaces overlaps with the next one."""
    for start, end in pieces(content):
        overlap = 0 if end == len(content) or content[end - 1] == " " else MAX_SNIPPET_LENGTH
        yield start, min(end + overlap, len(content))


def _begins_inside_a_word(content: str, begin: int) -> bool:
    if not begin:
        return False
    before = fold(content[max(0, begin - PIECE_LENGTH // 16) : begin])
    return any(word.end() == len(before) for word in word_pattern(before).finditer(before))


def _cluster_start(content: str, at: int) -> int:
    """Return ``at``, or the next place where no character is cut from the marks that belong to it."""
    found = _extension().match(content, at) if at else None
    return found.end() if found else at


@functools.cache
def _extension() -> re.Pattern[str]:
    return re.compile(f"[{extending_class()}]{{0,64}}")  # nosemgrep: regex-from-data - constants


def _add(segments: list[Segment], text: str, *, match: bool) -> None:
    if text:
        segments.append(Segment(text=text, match=match))
