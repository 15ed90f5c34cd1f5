"""Normalization of text for search: NFKC and case folding, as in Unicode's NFKC_Casefold, and a little more.

Index, query and highlighting use it, so that what is found is also marked. Its time is proportional to the length of
the text. Canonical ordering takes quadratic time in a run of marks, so that runs are cut to the length that UAX #15
permits in the Stream-Safe Text Format. Texts are normalized in pieces, because one call of a C function holds Python's
lock: in a worker thread, the event loop runs between two pieces.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator

from history.search.characters import (
    IGNORABLE,
    VOWEL_POINTS,
    cluster_pattern,
    combining_marks,
    extending_class,
)
from history.search.han_variants import simplify

MAX_COMBINING_MARKS = 30
"""Combining marks in a row that are kept (UAX #15, section 13)."""
PIECE_LENGTH = 1_024
"""Characters that are normalized in one call. Some characters become 18."""
MAX_CACHED_CLUSTERS = 8_192
"""Characters with their marks whose normal forms are kept in memory. A text has a few thousand different ones."""
MAX_CACHED_LENGTH = 4
"""Code points of such a character."""
_IGNORED = re.compile(f"[{IGNORABLE}]+")
_POINTS = re.compile(f"[{VOWEL_POINTS}]+")


def normalize(text: str, max_length: int, *, keep_variants: bool = False) -> str:
    """Return the first ``max_length`` characters of the text, normalized.

    Of a run of combining marks, the first ``MAX_COMBINING_MARKS`` are kept. With ``keep_variants``, traditional Chinese
    characters stay as they are.
    """
    found, length = [], 0
    for start, end in pieces(text[:max_length]):
        plain = fold(text[start:end], keep_variants=keep_variants)
        found.append(plain)
        length += len(plain)
        if length >= max_length:
            break
    return "".join(found)[:max_length]


def fold(piece: str, *, keep_variants: bool = False) -> str:
    """Return a short text, normalized.

    Default-ignorable characters and vowel points are left out, and the dot of a Turkish i makes no difference. Nor does
    it whether Chinese characters are traditional or simplified.
    """
    if piece.isascii():
        return piece.lower()
    plain = unicodedata.normalize("NFKC", bound_marks(_IGNORED.sub("", piece))).casefold()
    plain = unicodedata.normalize("NFKC", plain).replace("i\u0307", "i").replace("\u0131", "i")
    plain = _POINTS.sub("", plain)
    return plain if keep_variants else simplify(plain)


def fold_with_offsets(text: str) -> tuple[str, list[int], list[int]]:
    """Return a short text, normalized, and for each of its characters where its source begins and ends in the text."""
    if text.isascii():
        return text.lower(), list(range(len(text))), list(range(1, len(text) + 1))
    plain: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for cluster in cluster_pattern().finditer(text):
        folded = _fold_cluster(cluster[0]) if len(cluster[0]) <= MAX_CACHED_LENGTH else fold(cluster[0])
        plain.append(folded)
        starts += [cluster.start()] * len(folded)
        ends += [cluster.end()] * len(folded)
    return "".join(plain), starts, ends


@functools.lru_cache(MAX_CACHED_CLUSTERS)
def _fold_cluster(cluster: str) -> str:
    return fold(cluster)


def pieces(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text behind a space, or before a character that does not belong to the one before it; yield the places."""
    start = 0
    while start < len(text):
        end = start + PIECE_LENGTH
        if end < len(text):
            end = text.rfind(" ", start, end) + 1 or _cluster_end(text, end)
        yield start, min(end, len(text))
        start = end


def bound_marks(text: str) -> str:
    """Return the text without the combining marks beyond ``MAX_COMBINING_MARKS`` in a row."""
    if text.isascii() or combining_marks().isdisjoint(text):
        return text
    return _run_of_marks().sub(lambda run: run[0][:MAX_COMBINING_MARKS], text)


@functools.cache
def marks_pattern() -> str:
    """Return a regular expression that matches one combining mark, also in Postgres."""
    return f"[{''.join(sorted(combining_marks()))}]"


def _cluster_end(text: str, end: int) -> int:
    """Return the first end of a cluster from ``end`` on, within the length of a piece."""
    found = _extension().match(text, end, end + PIECE_LENGTH)
    return found.end() if found else end


@functools.cache
def _extension() -> re.Pattern[str]:
    return re.compile(f"[{extending_class()}]*")


@functools.cache
def _run_of_marks() -> re.Pattern[str]:
    mark = marks_pattern()
    return re.compile(f"{mark}{mark}{{{MAX_COMBINING_MARKS},}}")
