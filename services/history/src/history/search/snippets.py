"""Search result snippets: the text around the first match, with every match marked."""

import re
from collections.abc import Sequence

from history.search.schemas import Segment
from history.search.tokenizer import LETTER, QueryTerms

CONTEXT_BEFORE = 60
"""Characters of a snippet before its first match."""
MAX_SNIPPET_LENGTH = 200
"""Characters of a whole snippet."""
MAX_SUFFIX_LENGTH = 4
"""Letters after a stem that still count as the same word, as in `match` and `matching`."""
_WORD_END = f"(?!{LETTER})"
_ELLIPSIS = "…"


def matcher(terms: QueryTerms, stems: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern that matches the words, stems and runs of a query in a text."""
    words = [
        re.escape(word) + (f"{LETTER}*" if i == len(terms.words) else _WORD_END)
        for i, word in enumerate(terms.words, 1)
    ]
    # The English stemmer turns a final y into i.
    bare = [re.escape(stem.removesuffix("i")) for stem in stems if len(stem) > 1]
    inflected = [f"{stem}{LETTER}{{0,{MAX_SUFFIX_LENGTH}}}{_WORD_END}" for stem in bare]
    runs = [re.escape(run) for run in terms.runs]
    whole = [f"(?<!{LETTER})(?:{'|'.join(words + inflected)})"] if words else []
    return re.compile("|".join(whole + runs), re.IGNORECASE)


def snippet(content: str, pattern: re.Pattern[str]) -> list[Segment]:
    """Return the text around the first match, split into matching and other segments."""
    first = pattern.search(content)
    begin = max(0, (first.start() if first else 0) - CONTEXT_BEFORE)
    end = min(len(content), begin + MAX_SNIPPET_LENGTH)
    segments: list[Segment] = []
    at = begin
    for match in pattern.finditer(content, begin, end):
        _add(segments, content[at : match.start()], match=False)
        _add(segments, match[0], match=True)
        at = match.end()
    _add(segments, content[at:end] + (_ELLIPSIS if end < len(content) else ""), match=False)
    if begin:
        segments.insert(0, Segment(text=_ELLIPSIS, match=False))
    return segments


def _add(segments: list[Segment], text: str, *, match: bool) -> None:
    if text:
        segments.append(Segment(text=text, match=match))
