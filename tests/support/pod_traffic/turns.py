"""Turns as their readers saw them, and the report of the load."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

TOKENS = 60
STREAM = f"stream [[fake tokens={TOKENS} rate=4]]"
"""A stream of 15 s."""


class RefusedError(Exception):
    """A request had another status than 200. The text says why, with N for numbers: equal reasons are counted."""

    def __init__(self, response: httpx2.Response) -> None:
        problem = response.json() if "json" in response.headers.get("content-type", "") else {}
        detail = re.sub(r"\d+", "N", problem.get("detail") or "")
        super().__init__(f"{response.status_code} {problem.get('code', '')} {detail}".strip())
        self.status = response.status_code


def successful(response: httpx2.Response) -> httpx2.Response:
    """Return the response; raise ``RefusedError`` unless its status is 200."""
    if response.status_code != httpx2.codes.OK:
        raise RefusedError(response)
    return response


@dataclass
class ShownTurn:
    """A turn as its reader saw it."""

    user: int
    id: str = ""
    conversation: str = ""
    cursor: str = ""
    text: str = ""
    status: str = ""

    def take(self, data: dict[str, Any], cursor: str) -> None:
        """Add an event of the stream."""
        self.id, self.conversation, self.cursor = data["turn_id"], data["conversation_id"], cursor or self.cursor
        self.text += data["delta"]
        self.status = data["status"] if data["finished"] else ""

    @property
    def fault(self) -> str:
        """Return what is wrong with the text, or nothing."""
        tokens = self.text.split()
        if tokens != [f"t{number}" for number in range(1, len(tokens) + 1)]:
            return "tokens are lost or repeated"
        if self.status == "incomplete" or (self.status == "completed" and len(tokens) == TOKENS):
            return ""
        return f"ended as {self.status!r} with {len(tokens)} of {TOKENS} tokens"


@dataclass
class LoadReport:
    """Counts, times and failures of the load."""

    streams: int = 0
    tokens: int = 0
    resumed: int = 0
    """Requests for the rest of a stream that broke."""
    incomplete: int = 0
    longest: float = 0.0
    """Seconds of the stream that took longest."""
    requests: int = 0
    seconds: list[list[float]] = field(default_factory=list)
    """Of each request that succeeded: seconds until it was sent, and seconds until its response."""
    failed: list[list[Any]] = field(default_factory=list)
    """Of each request and stream that failed: seconds until it was sent, the error, and seconds until the error."""
    wrong: list[str] = field(default_factory=list)
    """Streams with lost or repeated tokens, and turns that history stores differently than they were shown."""
    stored_after: float = 0.0
    """Seconds until history had every turn."""


async def parsed_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """Yield name, ID and data of each server-sent event."""
    name = cursor = data = ""
    async for line in lines:
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, cursor, json.loads(data)
            name = cursor = data = ""
        elif key == "event":
            name = value
        elif key == "id":
            cursor = value
        elif key == "data":
            data += value
