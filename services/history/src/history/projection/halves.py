"""Halves of a batch: two sets of events that two transactions store at the same time."""

from collections import Counter
from collections.abc import Iterator, Sequence

from history.projection.turn_event import TurnEvent

MIN_SPLIT = 128
"""Events from which a batch is split: a statement for few events costs nearly as much as one for many."""


def halves_of(turns: Sequence[TurnEvent]) -> list[Sequence[TurnEvent]]:
    """Return the events in one or two parts, in their order. All events of a user are in the same part.

    A batch in which two users claim the same rows is not split, because rounds decide which of them gets the rows.
    """
    if len(turns) < MIN_SPLIT or not _are_apart(turns):
        return [turns]
    first = _half_of_users(Counter(turn.user_id for turn in turns))
    parts = [
        [turn for turn in turns if turn.user_id in first],
        [turn for turn in turns if turn.user_id not in first],
    ]
    return [part for part in parts if part]


def _are_apart(turns: Sequence[TurnEvent]) -> bool:
    owners: dict[str, str] = {}
    return all(owners.setdefault(row, turn.user_id) == turn.user_id for turn in turns for row in _rows_of(turn))


def _rows_of(turn: TurnEvent) -> Iterator[str]:
    yield turn.turn_id
    yield from turn.result_ids
    for row in (turn.conversation_id, turn.question_id):
        if row is not None:
            yield row


def _half_of_users(counts: Counter[str]) -> set[str]:
    """Return users with about half of the events."""
    chosen: set[str] = set()
    balance = 0
    for user, count in counts.most_common():
        if balance <= 0:
            chosen.add(user)
            balance += count
        else:
            balance -= count
    return chosen
