"""Response bodies of the search route."""

from uuid import UUID

from history.messages.schemas import Role
from parley.times import Timestamp
from parley.web.schemas import ResponseBody


class Segment(ResponseBody):
    """A part of a snippet: a match, or the text between matches."""

    text: str
    match: bool


class SearchHit(ResponseBody):
    """A message that matches a search."""

    conversation_id: UUID
    conversation_title: str | None
    message_id: UUID
    role: Role
    snippet: list[Segment]
    score: float
    created_at: Timestamp
