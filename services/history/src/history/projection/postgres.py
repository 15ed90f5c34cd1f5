"""Projection storage in Postgres: one round trip per batch of events."""

import asyncio
import functools
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import orjson

from history.conversations.titles import title_from
from history.database import Database
from history.projection.rounds import rounds_of
from history.projection.store import ProjectionOutcome, TurnEvent
from history.search.tokenizer import index_terms
from parley.ids import new_id
from parley.process.worker_thread import WorkerThread
from parley_events.models import TurnEnded

_PROJECT_TURNS = "SELECT n, outcome FROM project_turns($1, $2)"

MAX_INLINE_LENGTH = 4_000
"""Characters of a turn in ASCII that are indexed on the event loop. Other texts go to the worker thread."""

RECENT_QUESTIONS = 256
"""Short questions whose search terms are kept for the end of their turn."""

TurnTerms = dict[str, str | None]


class PostgresProjectionStore:
    """Stores turn events with the SQL function ``project_turns``. ``worker`` finds the search terms of long texts."""

    def __init__(self, database: Database, worker: WorkerThread) -> None:
        self._database, self._worker = database, worker

    async def project_turns(self, events: Sequence[TurnEvent], *, wait: bool) -> list[ProjectionOutcome]:
        """Store events in one transaction, and return their outcomes."""
        rounds = rounds_of(event.data for event in events)
        batch = [
            {"n": n, "round": rounds[n], **_envelope(event), **await self._index_terms(event)}
            for n, event in enumerate(events)
        ]
        rows = await self._database.fetch(_PROJECT_TURNS, batch, wait)
        outcomes = {row["n"]: row["outcome"] for row in rows}
        return [outcomes[n] for n in range(len(events))]

    async def _index_terms(self, event: TurnEvent) -> TurnTerms:
        question, answer = _question(event), _answer(event)
        if len(question) + len(answer) <= MAX_INLINE_LENGTH and question.isascii() and answer.isascii():
            await asyncio.sleep(0)  # requests run between two events of a batch
            return _index_terms(question, answer)
        return await self._worker.run(_index_terms, question, answer)


def _question(event: TurnEvent) -> str:
    return event.data.user_message.content if event.data.user_message else ""


def _answer(event: TurnEvent) -> str:
    return event.data.message.content if isinstance(event.data, TurnEnded) and event.data.message else ""


# Both events of a turn have the question. A long one is indexed twice, rather than kept in memory.
_recent_terms = functools.lru_cache(RECENT_QUESTIONS)(index_terms)


def _question_terms(question: str) -> str:
    return _recent_terms(question) if len(question) <= MAX_INLINE_LENGTH else index_terms(question)


def _index_terms(question: str, answer: str) -> TurnTerms:
    return {
        "question_words": _question_terms(question),
        "question_bigrams": None,
        "answer_words": index_terms(answer),
        "answer_bigrams": None,
    }


def _envelope(event: TurnEvent) -> dict[str, Any]:
    envelope, data = event.event, event.data
    conversation: UUID | None = data.conversation_id if data.stored else None
    return {
        "event_id": envelope.id,
        "name": envelope.name,
        "source": envelope.source,
        "time": envelope.time,
        "partition_key": envelope.partition_key,
        "sequence": envelope.sequence,
        "trace": envelope.traceparent,
        "turn_id": data.turn_id,
        "user_id": data.user_id,
        "conversation_id": conversation,
        "number": data.number,
        "auto_title": title_from(_question(event)),
        "created_id": new_id(),
        "data": orjson.Fragment(data.model_dump_json()),
    }
