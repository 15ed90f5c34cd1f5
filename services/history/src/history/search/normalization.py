"""Unicode normalization whose time is proportional to the length of the text.

Canonical ordering takes quadratic time in a run of combining marks. Runs are therefore cut to the length that UAX #15
permits in the Stream-Safe Text Format, before anything else. Texts are normalized in pieces, because one call of a C
function holds Python's lock: in a worker thread, the event loop runs between two pieces.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator

MAX_COMBINING_MARKS = 30
"""Combining marks in a row that are kept (UAX #15, section 13)."""
PIECE_LENGTH = 1_024
"""Characters that are normalized in one call. Some characters become 18."""

_MARK_BLOCKS = range(0x300, 0x1EA00)
"""Code points among which all combining marks are."""
_DECOMPOSED_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"
"""Characters that are no combining marks themselves, but consist of them."""


def normalize(text: str, max_length: int) -> str:
    """Return the first ``max_length`` characters of the text in NFKC form and case-folded.

    Of a run of combining marks, the first ``MAX_COMBINING_MARKS`` are kept.
    """
    found, length = [], 0
    for piece in _pieces(text[:max_length]):
        plain = unicodedata.normalize("NFKC", bound_marks(piece)).casefold()
        found.append(plain)
        length += len(plain)
        if length >= max_length:
            break
    return "".join(found)[:max_length]


def bound_marks(text: str) -> str:
    """Return the text without the combining marks beyond ``MAX_COMBINING_MARKS`` in a row."""
    if text.isascii() or _marks().isdisjoint(text):
        return text
    return _run_of_marks().sub(lambda run: run[0][:MAX_COMBINING_MARKS], text)


@functools.cache
def marks_pattern() -> str:
    """Return a regular expression that matches one combining mark, also in Postgres."""
    return f"[{''.join(sorted(_marks()))}]"


def _pieces(text: str) -> Iterator[str]:
    """Cut a text at spaces, or anywhere when there are none."""
    start = 0
    while start < len(text):
        end = start + PIECE_LENGTH
        if end < len(text):
            end = text.rfind(" ", start, end) + 1 or end
        yield text[start:end]
        start = end


@functools.cache
def _marks() -> frozenset[str]:
    return frozenset(chr(code) for code in _MARK_BLOCKS if unicodedata.combining(chr(code))).union(_DECOMPOSED_MARKS)


@functools.cache
def _run_of_marks() -> re.Pattern[str]:
    mark = marks_pattern()
    return re.compile(f"{mark}{mark}{{{MAX_COMBINING_MARKS},}}")
