"""Storing what events say: one round trip for a turn's event, one transaction for an erasure."""

from typing import Any, cast
from uuid import UUID

import asyncpg

from history.conversations.store import ForeignTurn, Outcome
from history.conversations.titles import title_from
from history.database import Database
from history.search.tokenizer import terms
from parley.ids import new_id
from parley.messaging import outbox
from parley.times import now
from parley_events.cloudevents import CloudEvent
from parley_events.models import ConversationCreated, TurnEnded, TurnStarted, UserErased, UserErasureConfirmed

ERASURE_TIMEOUT = 50.0
"""Seconds for one statement of an erasure: a person may have millions of messages."""

_PROJECT = "SELECT project_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
_OWN_CONVERSATIONS = """
    SELECT id FROM conversations WHERE user_id = $1
    UNION SELECT conversation_id FROM conversation_tombstones WHERE user_id = $1"""
_ERASE = (
    "INSERT INTO user_tombstones (user_id, erased_at) VALUES ($1, now()) ON CONFLICT DO NOTHING",
    f"""
    UPDATE outbox SET data = data || CASE name
        WHEN 'conversation.created' THEN '{{"title": null, "metadata": {{}}}}'::jsonb
        ELSE '{{"changed": {{}}}}'::jsonb END
    WHERE name IN ('conversation.created', 'conversation.updated')
      AND partition_key IN (SELECT id::text FROM ({_OWN_CONVERSATIONS}) AS own)""",  # noqa: S608 - constants only
    """
    INSERT INTO conversation_tombstones (conversation_id, user_id, deleted_at, purge_after, purged_at)
    SELECT id, user_id, now(), now(), now() FROM conversations WHERE user_id = $1
    ON CONFLICT (conversation_id) DO UPDATE SET purged_at = now()""",
    "DELETE FROM conversations WHERE user_id = $1",
    "DELETE FROM turns WHERE user_id = $1",
    "DELETE FROM feed WHERE user_id = $1",
    "DELETE FROM feed_heads WHERE user_id = $1",
    "DELETE FROM import_keys WHERE user_id = $1",
)


class PostgresProjection:
    """The projection in Postgres."""

    def __init__(self, database: Database) -> None:
        """Take history's database."""
        self._database = database

    async def project_turn(self, event: CloudEvent, data: TurnStarted | TurnEnded) -> Outcome:
        """Store what an event says of its turn; raises ForeignTurn when the turn or conversation is somebody else's."""
        try:
            outcome = await self._database.value(_PROJECT, *_arguments(event, data))
        except asyncpg.CheckViolationError as error:
            raise ForeignTurn(str(event.id)) from error
        return cast("Outcome", outcome)

    async def erase(self, event: CloudEvent, data: UserErased) -> None:
        """Delete everything of a person, leave tombstones, and confirm through the outbox."""
        confirmed = UserErasureConfirmed(user_id=data.user_id, erasure_id=data.erasure_id, service="history", at=now())
        async with self._database.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{int(ERASURE_TIMEOUT)}s'")
            await connection.execute("SELECT lock_person($1)", data.user_id)
            await connection.execute(
                "INSERT INTO inbox (event_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", event.id, event.name
            )
            for statement in _ERASE:
                await connection.execute(statement, data.user_id, timeout=ERASURE_TIMEOUT)
            await outbox.append(connection, "user.erasure_confirmed", confirmed, subject=data.user_id)


def _arguments(event: CloudEvent, data: TurnStarted | TurnEnded) -> tuple[Any, ...]:
    question = data.user_message.content if data.user_message else ""
    answer = data.message.content if isinstance(data, TurnEnded) and data.message else ""
    title = title_from(question)
    return (
        event.id,
        event.name,
        event.source,
        event.time,
        event.partition_key,
        event.sequence,
        event.traceparent,
        data.model_dump(mode="json"),
        title,
        *terms(question),
        *terms(answer),
        new_id(),
        _created(data, title),
    )


def _created(data: TurnStarted | TurnEnded, title: str | None) -> dict[str, Any] | None:
    if data.conversation_id is None:
        return None
    began = data.user_message.created_at if data.user_message else data.started_at
    created = ConversationCreated(
        conversation_id=UUID(str(data.conversation_id)),
        user_id=data.user_id,
        origin="chat",
        title=title,
        metadata={},
        created_at=began,
    )
    return created.model_dump(mode="json")
