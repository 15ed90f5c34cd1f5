"""Responses that only their connection has: unstored ones, and those prepared without an answer."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from chat.api.openai_responses.item_references import as_input
from chat.api.request_checks import invalid
from chat.model import Turn
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.output import folded
from chat.protocols.openai_responses.resource import status_of
from chat.protocols.openai_responses.schemas import MAX_ITEMS, InputItem, ResponseRequest

MAX_KEPT_BYTES = 1_048_576
"""Maximum size of the items that a connection keeps, as long as the longest request."""


@dataclass(frozen=True, slots=True)
class KeptResponse:
    """The newest response of a connection that is not stored, with its input and output items."""

    turn_id: UUID
    previous_response_id: str | None
    """The stored response that it follows."""
    items: list[InputItem]

    def is_named_by(self, given: str | None) -> bool:
        """Tell whether a ``previous_response_id`` names this response."""
        return given is not None and ids.parse(given, "resp") == self.turn_id

    def continued_by(self, body: ResponseRequest) -> ResponseRequest:
        """Return a request that follows this response as one that has the items of both."""
        items = [*self.items, *body.items()]
        if len(items) > MAX_ITEMS:
            raise invalid("/input", "too_long", f"With the response before, there may be at most {MAX_ITEMS} items.")
        return body.model_copy(update={"previous_response_id": self.previous_response_id, "input": items})


def kept_input(turn_id: UUID, body: ResponseRequest) -> KeptResponse | None:
    """Return the input of a request to keep; None if it is too large."""
    return _kept(turn_id, body, [])


def can_follow(turn: Turn) -> bool:
    """Tell whether another response can follow this one, which has ended."""
    return status_of(turn) in {"completed", "incomplete"}


def kept_response(turn: Turn, body: ResponseRequest) -> KeptResponse | None:
    """Return an unstored response to keep; None if it is too large."""
    return _kept(turn.id, body, folded(turn.id, turn.entries).output(complete=True) if turn.entries else [])


def _kept(turn_id: UUID, body: ResponseRequest, output: list[dict[str, Any]]) -> KeptResponse | None:
    items = [*body.items(), *map(as_input, output)]
    size = len(orjson.dumps([item.model_dump(exclude_none=True) for item in items]))
    if size > MAX_KEPT_BYTES or len(items) > MAX_ITEMS:
        return None
    return KeptResponse(turn_id, body.previous_response_id, items)
