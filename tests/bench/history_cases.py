"""Requests to history that are measured, each with its target."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode
from uuid import UUID

from history_data import BEGIN, PERIOD, Landmarks  # type: ignore[import-not-found]

MOST_LIST, MOST_USAGE, MOST_SEARCH = 15.0, 50.0, 50.0
"""Milliseconds at the 95th percentile."""
SEARCHES = {
    "a common word": "the",
    "a prefix of one letter": "a",
    "a prefix": "pro",
    "a word": "system",
    "a Chinese character": "的",
    "two Chinese characters": "可以",
    "a quoted phrase": '"machine learning"',
    "three words": "machine learning model",
    "a word without another": "system -the",
    "a rare word": "graconder",
    "a word in no message": "xylophone",
}


@dataclass(frozen=True)
class Case:
    """A request of a user, or with ``pages`` a list that is read to its end."""

    name: str
    user: UUID
    path: str
    most: float
    pages: bool = False


def cases(marks: Landmarks, conversation: UUID) -> Iterator[Case]:
    """Yield every case; the conversation is one of the user with the most messages."""
    line, branches = (f"/api/v1/conversations/{one}/messages?limit=100" for one in (marks.line, marks.branches))
    yield Case("list of conversations", marks.largest, "/api/v1/conversations?limit=20", MOST_LIST)
    yield Case("messages of a long conversation, ascending", marks.line_owner, line, MOST_LIST, pages=True)
    yield Case("messages, descending", marks.line_owner, f"{line}&order=desc", MOST_LIST, pages=True)
    yield Case("tree of a long conversation", marks.line_owner, f"{line}&tree=true", MOST_LIST, pages=True)
    yield Case("messages among branches", marks.branches_owner, branches, MOST_LIST, pages=True)
    yield Case("tree of branches", marks.branches_owner, f"{branches}&tree=true", MOST_LIST, pages=True)
    day = (BEGIN + PERIOD / 2).date()
    dates = urlencode({"from": str(day), "to": str(day + timedelta(days=90))})
    yield Case("usage by day", marks.largest, f"/api/v1/usage?{dates}", MOST_USAGE)
    yield Case("usage by model", marks.largest, f"/api/v1/usage?{dates}&group=model", MOST_USAGE)
    for name, text in SEARCHES.items():
        yield _search(marks, name, q=text)
    for name in ("a common word", "a prefix of one letter", "a Chinese character"):
        text = SEARCHES[name]
        yield _search(marks, f"{name} in a conversation", q=text, conversation_id=str(conversation))
        since, until = BEGIN + PERIOD / 3, BEGIN + PERIOD / 3 + timedelta(days=7)
        yield _search(marks, f"{name} in a week", q=text, **{"from": since.isoformat(), "to": until.isoformat()})
        yield _search(marks, f"{name} of a role", q=text, role="user")
    yield Case("search, a common word of a small user", marks.users[-1], _path(q="the"), MOST_SEARCH)


def _search(marks: Landmarks, name: str, **parameters: str) -> Case:
    return Case(f"search, {name}", marks.largest, _path(**parameters), MOST_SEARCH)


def _path(**parameters: str) -> str:
    return f"/api/v1/search?{urlencode(parameters)}"
