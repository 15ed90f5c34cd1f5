"""The chain of a turn, and pages of turns, read from turns in memory."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from chat.admission.conversations import exchange_of
from chat.model import Turn
from chat.past_exchanges import PastExchange


def chain_of(
    turns: Mapping[UUID, Turn], conversation_id: UUID, turn_id: UUID, *, characters: int, limit: int
) -> list[PastExchange]:
    """Return the exchanges from a turn to the root, as a turn store returns them."""
    found: list[PastExchange] = []
    read = 0
    turn = turns.get(turn_id)
    while turn is not None and turn.conversation_id == conversation_id and (found or not turn.running):
        found.append(replace(exchange_of(turn), stored_length=_length(turn)))
        read += found[-1].length
        if len(found) >= limit or read >= characters:
            break
        turn = turns.get(turn.parent_id) if turn.parent_id else None
    return found


def within(turns: Sequence[Turn], characters: int) -> Sequence[Turn]:
    """Return the turns up to the one with which they have ``characters``."""
    lengths = itertools.accumulate(len(repr(turn)) for turn in turns)
    return turns[: sum(length < characters for length in lengths) + 1]


def _length(turn: Turn) -> int:
    items = (turn.response or {}).get("input") or []
    texts = [turn.user_message, turn.content or "", *(result.content for result in turn.tool_results)]
    parts = [part for item in items if isinstance(item.get("content"), list) for part in item["content"]]
    images = sum(len(part.get("image_url", "")) for part in parts)
    given = [json.dumps(value) for value in (items, turn.tool_calls) if value]
    return sum(map(len, [*texts, *given])) - images * 3 // 4
