"""Compactions: an input replaced by a summary of a model, which its turn keeps. The item only names the turn."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from chat.model import Turn
from chat.protocols.json_values import Json
from chat.protocols.openai_chat.schemas import OpenModel
from chat.protocols.openai_responses import ids
from chat.protocols.openai_responses.resource import usage
from chat.protocols.openai_responses.schemas import MAX_IDENTIFIER, MAX_ITEMS, NEUTRAL, InputItem, ResponseRequest
from parley.web.schemas import Text

COMPACTION = "compaction"
"""Type of the item, and the member of a turn's ``response`` that marks a compaction."""
MARK: dict[str, Any] = {COMPACTION: True}
INSTRUCTION = (
    "Summarise everything above, so that the conversation can go on with your summary in place of it. Keep the goal, "
    "decisions, facts, names, numbers, code, the results of tools, and what is still open. Answer with nothing but "
    "the summary."
)
SUMMARY = "Summary of the conversation so far:\n\n"
"""Begins the message that takes the place of a compaction."""


class CompactRequest(OpenModel):
    """``POST /v1/responses/compact``."""

    neutral: ClassVar = {**NEUTRAL, **dict.fromkeys(("background", "store", "stream"), (False,))}

    model: Text | None = Field(None, max_length=200)
    input: Text | Annotated[list[InputItem], Field(max_length=MAX_ITEMS, fail_fast=True)] | None = None
    instructions: Text | None = None
    previous_response_id: Text | None = Field(None, max_length=100)
    prompt_cache_key: Text | None = Field(None, max_length=MAX_IDENTIFIER)
    prompt_cache_retention: Json = None

    def as_response_request(self) -> ResponseRequest:
        """Return the request for a response that is the summary."""
        # Undeclared members ask for nothing, but may be of no form that a response takes.
        members = self.model_dump(exclude={"input", *(self.model_extra or ())}, exclude_none=True)
        request = ResponseRequest.model_validate({**members, "store": False})
        items = [InputItem(role="user", content=self.input)] if isinstance(self.input, str) else self.input or []
        return request.model_copy(update={"input": [*items, InputItem(role="user", content=INSTRUCTION)]})


def is_compaction(turn: Turn) -> bool:
    """Tell whether the answer of a turn is the summary of a compaction."""
    return bool((turn.response or {}).get(COMPACTION))


def is_whole(turn: Turn) -> bool:
    """Tell whether an ended compaction has a whole summary."""
    return turn.finish_reason == "stop" and bool((turn.content or "").strip())


def compaction(turn: Turn) -> dict[str, Any]:
    """Return the resource of a compaction."""
    identifier = ids.item_id(ids.PREFIXES[COMPACTION], turn.id)
    return {
        "id": ids.response_id(turn.id),
        "object": "response.compaction",
        "created_at": int(turn.created_at.timestamp()),
        "output": [{"id": identifier, "type": COMPACTION, "encrypted_content": identifier}],
        "usage": usage(turn),
    }


def summary_item(turn: Turn) -> tuple[str, dict[str, Any]]:
    """Return the ID of a compaction and the message that takes its place in an input."""
    message = {"type": "message", "role": "assistant", "content": SUMMARY + (turn.content or "")}
    return ids.item_id(ids.PREFIXES[COMPACTION], turn.id), message
