"""Projection storage in Postgres: one round trip per event."""

from typing import Any, cast
from uuid import UUID

import asyncpg

from history.conversations.titles import title_from
from history.database import Database
from history.projection.store import ForeignTurn, ProjectionOutcome
from history.search.tokenizer import index_terms
from parley.ids import new_id
from parley.storage.named_parameters import NamedStatement
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationCreated, TurnEnded, TurnStarted

_PROJECT_TURN = NamedStatement("""
SELECT project_turn(:event_id, :event_name, :event_source, :event_time, :event_key, :event_sequence, :trace, :data,
    :auto_title, :question_words, :question_bigrams, :answer_words, :answer_bigrams, :created_id, :created)""")


class PostgresProjectionStore:
    """Stores turn events with the SQL function ``project_turn``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def project_turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> ProjectionOutcome:
        """Store the event of a turn; raises ForeignTurn when the turn or conversation belongs to another user."""
        arguments = _PROJECT_TURN.arguments(_values(event, data))
        try:
            outcome = await self._database.value(_PROJECT_TURN.sql, *arguments)
        except asyncpg.CheckViolationError as error:
            raise ForeignTurn(str(event.id)) from error
        return cast("ProjectionOutcome", outcome)


def _values(event: CloudEvent, data: TurnStarted | TurnEnded) -> dict[str, Any]:
    question = data.user_message.content if data.user_message else ""
    answer = data.message.content if isinstance(data, TurnEnded) and data.message else ""
    question_words, question_bigrams = index_terms(question)
    answer_words, answer_bigrams = index_terms(answer)
    title = title_from(question)
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
        "question_words": question_words,
        "question_bigrams": question_bigrams,
        "answer_words": answer_words,
        "answer_bigrams": answer_bigrams,
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
