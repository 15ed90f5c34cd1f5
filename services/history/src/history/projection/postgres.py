"""Projection storage in Postgres: one round trip per batch of events."""

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

import orjson

from history.conversations.titles import title_from
from history.database import Database
from history.projection.rounds import rounds_of
from history.projection.store import ProjectionOutcome
from history.projection.turn_event import TurnEvent, TurnTerms
from history.search.tokenizer import index_terms
from parley.ids import new_id
from parley.process.worker_thread import WorkerThread

_PROJECT_TURNS = "SELECT n, outcome FROM project_turns($1, $2)"

MAX_INLINE_LENGTH = 4_000
"""Characters of a turn in ASCII that are indexed on the event loop. Other texts go to the worker thread."""

RECENT_QUESTIONS = 256
"""Short questions whose search terms are kept for the end of their turn."""


class PostgresProjectionStore:
    """Stores turn events with the SQL function ``project_turns``. ``worker`` finds the search terms of long texts."""

    def __init__(self, database: Database, worker: WorkerThread) -> None:
        self._database, self._worker = database, worker

    def prepare(self, event: TurnEvent) -> None:
        """Find the search terms of short texts."""
        if event.terms is None and _is_short(event):
            event.terms = _index_terms(event.question, event.answer)

    async def project_turns(self, events: Sequence[TurnEvent], *, wait: bool) -> list[ProjectionOutcome]:
        """Store events in one transaction, and return their outcomes."""
        for event in events:
            if event.terms is None:
                await self._find_terms(event)
        rounds = rounds_of(events)
        batch = [_row(n, rounds[n], event) for n, event in enumerate(events)]
        rows = await self._database.fetch(_PROJECT_TURNS, batch, wait)
        outcomes = {row["n"]: row["outcome"] for row in rows}
        return [outcomes[n] for n in range(len(events))]

    async def _find_terms(self, event: TurnEvent) -> None:
        if _is_short(event):
            await asyncio.sleep(0)  # requests run between two events of a batch
            self.prepare(event)
        else:
            event.terms = await self._worker.run(_index_terms, event.question, event.answer)


def _is_short(event: TurnEvent) -> bool:
    length = len(event.question) + len(event.answer)
    return length <= MAX_INLINE_LENGTH and event.question.isascii() and event.answer.isascii()


# Both events of a turn have the question. A long one is indexed twice, rather than kept in memory.
_recent_terms = functools.lru_cache(RECENT_QUESTIONS)(index_terms)


def _index_terms(question: str, answer: str) -> TurnTerms:
    words = _recent_terms(question) if len(question) <= MAX_INLINE_LENGTH else index_terms(question)
    return words, index_terms(answer) if answer else ""


def _row(n: int, in_round: int, turn: TurnEvent) -> dict[str, Any]:
    event, terms = turn.event, turn.terms or ("", "")
    return {
        "n": n,
        "round": in_round,
        "event_id": event.id,
        "name": event.name,
        "source": event.source,
        "time": event.time,
        "partition_key": event.partition_key,
        "sequence": event.sequence,
        "trace": event.traceparent,
        "turn_id": turn.turn_id,
        "user_id": turn.user_id,
        "conversation_id": turn.conversation_id if turn.stored else None,
        "number": turn.number,
        "auto_title": title_from(turn.question),
        "question_words": terms[0],
        "answer_words": terms[1],
        "created_id": new_id(),
        "data": orjson.Fragment(turn.data),
    }
