"""Rounds of a batch: events of one round are stored by the same statements, and need no rows of each other."""

from collections.abc import Iterable

from history.projection.turn_event import TurnEvent

Claims = dict[str, object]


def rounds_of(turns: Iterable[TurnEvent]) -> list[int]:
    """Return the round of each event.

    The events of a turn are in different rounds, in order. So are events that name one conversation for two users, or
    one message for two conversations: whichever is stored first wins.
    """
    rounds: list[int] = []
    last: dict[str, int] = {}
    claims: list[Claims] = []
    for turn in turns:
        wanted = _claims(turn)
        number = last.get(turn.turn_id, -1) + 1
        while number < len(claims) and _conflict(claims[number], wanted):
            number += 1
        if number == len(claims):
            claims.append({})
        claims[number] |= wanted
        last[turn.turn_id] = number
        rounds.append(number)
    return rounds


def _claims(turn: TurnEvent) -> Claims:
    wanted: Claims = dict.fromkeys(turn.result_ids, turn.conversation_id)
    if turn.question_id is not None:
        wanted[turn.question_id] = turn.conversation_id
    if turn.conversation_id is not None:
        wanted[turn.conversation_id] = turn.user_id
    wanted[turn.turn_id] = object()
    return wanted


def _conflict(claims: Claims, wanted: Claims) -> bool:
    return any(claims.get(key, value) != value for key, value in wanted.items())
