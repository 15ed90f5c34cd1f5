"""Searching a person's messages, and showing where they match."""

import re
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from history import cursors
from history.conversations.schemas import SearchHit, Segment
from history.conversations.store import Found, Search, SearchPlace, SearchQuery
from history.search.tokenizer import LETTER, Wanted, wanted
from parley.web.schemas import Page

BEFORE, LONGEST = 60, 200
"""Characters of a snippet before its first match, and in all."""
SUFFIX = 4
"""Letters that may follow a stem: `match` in `matching`."""
_END = f"(?!{LETTER})"
_ELLIPSIS = "…"


class SearchService:
    """Searches a person's messages."""

    def __init__(self, search: Search) -> None:
        """Take what finds messages."""
        self._search = search

    async def page(self, user_id: UUID, query: SearchQuery, cursor: str | None, limit: int) -> Page[SearchHit]:
        """Return a page of results, the best first; a query without any letter or digit finds nothing."""
        kind = f"search {query}"
        after = None
        if cursor is not None:
            after = SearchPlace(*cursors.decode(kind, cursor, (float, datetime, UUID)))
        terms = wanted(query.text)
        if not terms.words and not terms.runs:
            return Page(data=[], next_cursor=None)
        found = await self._search.find(user_id, terms, query, after, limit + 1)
        following = None
        if len(found) > limit:
            place = found[limit - 1].place
            following = cursors.encode(kind, (place.score, place.created_at.isoformat(), str(place.id)))
        return Page(data=[_hit(one, terms) for one in found[:limit]], next_cursor=following)


def _hit(found: Found, terms: Wanted) -> SearchHit:
    return SearchHit(
        conversation_id=found.conversation_id,
        conversation_title=found.title,
        message_id=found.place.id,
        role=found.role,
        snippet=snippet(found.content, matcher(terms, found.stems)),
        score=found.place.score,
        created_at=found.place.created_at,
    )


def matcher(terms: Wanted, stems: Sequence[str]) -> re.Pattern[str]:
    """Return the pattern of what a query matches in a text."""
    words = [
        re.escape(word) + (f"{LETTER}*" if i == len(terms.words) else _END) for i, word in enumerate(terms.words, 1)
    ]
    # English stems end in i where the word ends in y.
    bare = [re.escape(stem.removesuffix("i")) for stem in stems if len(stem) > 1]
    inflected = [f"{stem}{LETTER}{{0,{SUFFIX}}}{_END}" for stem in bare]
    runs = [re.escape(run) for run in terms.runs]
    whole = [f"(?<!{LETTER})(?:{'|'.join(words + inflected)})"] if words else []
    return re.compile("|".join(whole + runs), re.IGNORECASE)


def snippet(content: str, pattern: re.Pattern[str]) -> list[Segment]:
    """Return the surroundings of the first match, cut into what matches and what does not."""
    first = pattern.search(content)
    begin = max(0, (first.start() if first else 0) - BEFORE)
    end = min(len(content), begin + LONGEST)
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
