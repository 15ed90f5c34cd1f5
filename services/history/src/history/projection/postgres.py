"""Projection storage in Postgres: one round trip per event."""

from typing import Any, TypeAlias, cast
from uuid import UUID

import asyncpg

from history.conversations.titles import title_from
from history.database import Database
from history.projection.store import ForeignTurn, ProjectionOutcome
from history.search.tokenizer import index_terms
from parley.ids import new_id
from parley.process.worker_thread import WorkerThread
from parley.storage.named_parameters import NamedStatement
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationCreated, TurnEnded, TurnStarted

_PROJECT_TURN = NamedStatement("""
SELECT project_turn(:event_id, :event_name, :event_source, :event_time, :event_key, :event_sequence, :trace, :data,
    :auto_title, :question_words, :question_bigrams, :answer_words, :answer_bigrams, :created_id, :created)""")

MAX_INLINE_LENGTH = 4_000
"""Characters of a turn in ASCII that are indexed on the event loop. Other texts go to the worker thread."""

IndexTerms: TypeAlias = dict[str, str | None]


class PostgresProjectionStore:
    """Stores turn events with the SQL function ``project_turn``. ``worker`` finds the search terms of long texts."""

    def __init__(self, database: Database, worker: WorkerThread) -> None:
        self._database, self._worker = database, worker

    async def project_turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> ProjectionOutcome:
        """Store the event of a turn; raises ForeignTurn when the turn or conversation belongs to another user."""
        terms = await self._index_terms(*_texts(data))
        arguments = _PROJECT_TURN.arguments(_values(event, data, terms))
        try:
            outcome = await self._database.value(_PROJECT_TURN.sql, *arguments)
        except asyncpg.CheckViolationError as error:
            raise ForeignTurn(str(event.id)) from error
        return cast("ProjectionOutcome", outcome)

    async def _index_terms(self, question: str, answer: str) -> IndexTerms:
        if len(question) + len(answer) <= MAX_INLINE_LENGTH and question.isascii() and answer.isascii():
            return _index_terms(question, answer)
        return await self._worker.run(_index_terms, question, answer)


def _texts(data: TurnStarted | TurnEnded) -> tuple[str, str]:
    answer = data.message.content if isinstance(data, TurnEnded) and data.message else ""
    return data.user_message.content if data.user_message else "", answer


def _index_terms(question: str, answer: str) -> IndexTerms:
    return {
        "question_words": index_terms(question),
        "question_bigrams": None,
        "answer_words": index_terms(answer),
        "answer_bigrams": None,
    }


def _values(event: CloudEvent, data: TurnStarted | TurnEnded, terms: IndexTerms) -> dict[str, Any]:
    title = title_from(_texts(data)[0])
    return {
        "event_id": event.id,
        "event_name": event.name,
        "event_source": event.source,
        "event_time": event.time,
        "event_key": event.partition_key,
        "event_sequence": event.sequence,
        "trace": event.traceparent,
        "data": data.model_dump(mode="json"),
        "auto_title": title,
        **terms,
        "created_id": new_id(),
        "created": _conversation_created(data, title),
    }


def _conversation_created(data: TurnStarted | TurnEnded, title: str | None) -> dict[str, Any] | None:
    """Return the data of ``conversation.created``, which is stored when the turn is the first of its conversation."""
    if data.conversation_id is None:
        return None
    created = ConversationCreated(
        conversation_id=UUID(str(data.conversation_id)),
        user_id=data.user_id,
        origin="chat",
        title=title,
        metadata={},
        created_at=data.user_message.created_at if data.user_message else data.started_at,
    )
    return created.model_dump(mode="json")
