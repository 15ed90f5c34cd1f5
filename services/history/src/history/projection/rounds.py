"""Rounds of a batch: events of one round are stored by the same statements, and need no rows of each other."""

from collections.abc import Iterable
from uuid import UUID

from parley_events.models import TurnEnded, TurnStarted

Claims = dict[UUID, object]


def rounds_of(turns: Iterable[TurnStarted | TurnEnded]) -> list[int]:
    """Return the round of each event.

    The events of a turn are in different rounds, in order. So are events that name one conversation for two users, or
    one message for two conversations: whichever is stored first wins.
    """
    rounds: list[int] = []
    last: dict[UUID, int] = {}
    claims: list[Claims] = []
    for data in turns:
        wanted = _claims(data)
        number = last.get(data.turn_id, -1) + 1
        while number < len(claims) and _conflict(claims[number], wanted):
            number += 1
        if number == len(claims):
            claims.append({})
        claims[number] |= wanted
        last[data.turn_id] = number
        rounds.append(number)
    return rounds


def _claims(data: TurnStarted | TurnEnded) -> Claims:
    wanted: Claims = {result.id: data.conversation_id for result in data.tool_results}
    if data.user_message is not None:
        wanted[data.user_message.id] = data.conversation_id
    if data.conversation_id is not None:
        wanted[data.conversation_id] = data.user_id
    wanted[data.turn_id] = object()
    return wanted


def _conflict(claims: Claims, wanted: Claims) -> bool:
    return any(claims.get(key, value) != value for key, value in wanted.items())
