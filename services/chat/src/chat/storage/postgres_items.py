"""Items of conversations in Postgres: turns that users insert, and items that they delete."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from chat.admission.item_deletion import repeats_older, without, without_shared
from chat.errors import Erased, TurnInProgress
from chat.events.turn_events import redacted_event, stored_event
from chat.item_store import InsertedItems, ItemPlace, NewItems
from chat.model import IdempotencyKey, Turn
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.turn_rows import to_turn
from chat.turn_store import TurnRefused
from parley.messaging import outbox
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection

_ACCOUNT = """
INSERT INTO accounts AS a (user_id) VALUES ($1)
ON CONFLICT (user_id) DO UPDATE SET last_turn_at = now() WHERE a.erased_at IS NULL RETURNING true"""
_CLAIM_KEY = """
INSERT INTO idempotency_keys AS k (user_id, route, key, body_hash, turn_id) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, route, key) DO UPDATE SET
    body_hash = excluded.body_hash, turn_id = excluded.turn_id, created_at = now()
WHERE k.created_at < now() - interval '24 hours'
RETURNING true"""
_NEXT_NUMBER = NamedStatement("""
INSERT INTO conversations AS c (id, user_id, next_number, adopted, latest_turn_id)
VALUES (:id, :user_id, :first_number::integer + :count::integer, :adopted, :head::uuid)
ON CONFLICT (id) DO UPDATE SET next_number = c.next_number + :count
WHERE c.user_id = excluded.user_id AND c.deleted_at IS NULL
  AND (NOT :follows_latest::boolean OR c.latest_turn_id IS NOT DISTINCT FROM :expected_latest::uuid)
RETURNING next_number - :count AS number""")
_RUNNING = "SELECT id FROM turns WHERE conversation_id = $1 AND status = 'running'"
_COLUMNS = [field.name for field in dataclasses.fields(Turn) if field.name != "cancel_requested"]
_INSERT = NamedStatement(
    f"INSERT INTO turns ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"  # noqa: S608 - only column names
)
_SET_EVENT = "UPDATE turns SET ended_event_id = $2 WHERE id = $1"
_LATEST = "UPDATE conversations SET latest_turn_id = $2 WHERE id = $1"
_INSERTED = """
SELECT t.* FROM turns AS first JOIN turns AS t ON t.conversation_id = first.conversation_id
    AND t.number >= first.number AND t.number < first.number + (first.response ->> 'inserted_turns')::integer
JOIN conversations AS c ON c.id = first.conversation_id AND c.deleted_at IS NULL
WHERE first.id = $1 ORDER BY t.number"""
_LOCK_CONVERSATION = """
SELECT id FROM conversations WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE"""
# The turn of the item, and those that may share it.
_LOCK_TURNS = """
SELECT id, parent_id, regenerate, continues FROM turns WHERE conversation_id = $1
    AND user_message_id = (SELECT user_message_id FROM turns WHERE id = $2 AND conversation_id = $1)
ORDER BY id FOR NO KEY UPDATE"""
_TURNS = "SELECT * FROM turns WHERE id = ANY ($1::uuid[]) ORDER BY id"
# A trigger counts the deletion in the conversation: new turns are compared with it.
_REDACT = NamedStatement("""
UPDATE turns SET user_message = :user_message, content = :content, entries = :entries, tool_calls = :tool_calls,
    tool_results = :tool_results, response = :response
WHERE id = :id""")
# As erasure does: an event that is published again does not have what was deleted.
_BLANK_EVENTS = """
WITH locked AS (
    SELECT o.id, m.members FROM unnest($2::uuid[]) AS c (event_id)
    CROSS JOIN LATERAL (SELECT id, data FROM outbox WHERE id = c.event_id OFFSET 0) AS r
    JOIN outbox AS o ON o.data ->> 'turn_id' = r.data ->> 'turn_id' AND o.id <> r.id
    CROSS JOIN LATERAL (
        SELECT jsonb_object_agg(key, value) AS members FROM jsonb_each(r.data)
        WHERE key IN ('user_message', 'tool_results', 'message') AND o.data ? key
    ) AS m
    WHERE o.partition_key = $1 AND o.name LIKE 'conversation.turn.%'
    ORDER BY o.id FOR NO KEY UPDATE OF o
)
UPDATE outbox AS o SET data = o.data || locked.members FROM locked WHERE o.id = locked.id"""
# History does not confirm this event; without a confirmation it would never be purged.
_CONFIRM = "UPDATE outbox SET confirmed_at = now() WHERE id = $1"
BATCH = 10
"""Turns of a deletion that are read at once: a message may have any number of answers, each with a long input."""


@dataclasses.dataclass(frozen=True, slots=True)
class _SharingTurn:
    """What is read of each turn that may share an item."""

    id: UUID
    parent_id: UUID | None
    regenerate: UUID | None
    continues: bool


class PostgresItemStore:
    """Items in the database of the turns."""

    def __init__(self, turns: PostgresTurnStore) -> None:
        self._turns = turns

    async def insert(self, new: NewItems, key: IdempotencyKey | None) -> list[Turn] | None:
        """Store turns and their events in one transaction; None if another request has used the key."""
        first = new.turns[0]
        assert first.conversation_id is not None
        async with self._turns.connection(queued=True) as connection, connection.transaction():
            if not await connection.fetchval(_ACCOUNT, first.user_id):
                raise Erased
            if key is not None and not await connection.fetchval(
                _CLAIM_KEY, key.user_id, key.route, key.key, key.body_hash, first.id
            ):
                return None
            number = await connection.fetchval(_NEXT_NUMBER.sql, *_NEXT_NUMBER.arguments(_conversation(new)))
            if number is None:
                raise TurnRefused
            await _require_idle(connection, first.conversation_id)
            stored = [dataclasses.replace(turn, number=number + place) for place, turn in enumerate(new.turns)]
            for turn in stored:
                await connection.execute(_INSERT.sql, *_INSERT.arguments(_row(turn)))
            await connection.execute(_LATEST, first.conversation_id, stored[-1].id)
            for turn in stored:
                await _publish(connection, turn)
        self._turns.hint()
        return stored

    async def inserted(self, key: IdempotencyKey) -> InsertedItems | None:
        """Return the turns that a request with an idempotency key has stored."""
        found = await self._turns.find_key(key.user_id, key.route, key.key)
        if found is None:
            return None
        async with self._turns.connection(queued=True) as connection:
            rows = await connection.fetch(_INSERTED, found.turn_id)
        return InsertedItems([to_turn(row) for row in rows], found.body_hash)

    async def delete(self, user_id: UUID, conversation_id: UUID, item: ItemPlace) -> bool:
        """Delete an item in one transaction; False if the user's conversation has no such item."""
        async with self._turns.connection(queued=True) as connection, connection.transaction():
            if not await connection.fetchval(_LOCK_CONVERSATION, conversation_id, user_id):
                return False
            rows = await connection.fetch(_LOCK_TURNS, conversation_id, item.turn_id)
            others = {row["id"]: _SharingTurn(**row) for row in rows}
            if others.pop(item.turn_id, None) is None:
                return False
            (found,) = await _read(connection, [item.turn_id])
            if found.running:
                raise TurnInProgress(found.id)
            changed = without(found, item)
            if changed is None or (item.in_input and repeats_older(found, others.values())):
                return False
            await _require_idle(connection, conversation_id)
            events = await _redact(connection, [changed])
            for batch in _batches(list(others)) if item.in_input else ():
                shared = (without_shared(turn, item, changed) for turn in await _read(connection, batch))
                events += await _redact(connection, (turn for turn in shared if turn is not None))
            await connection.execute(_BLANK_EVENTS, str(conversation_id), events)
        self._turns.hint()
        return True


async def _require_idle(connection: Connection, conversation_id: UUID) -> None:
    running = await connection.fetchval(_RUNNING, conversation_id)
    if running is not None:
        raise TurnInProgress(running)


async def _read(connection: Connection, turn_ids: Sequence[UUID]) -> list[Turn]:
    return [to_turn(row) for row in await connection.fetch(_TURNS, turn_ids)]


def _batches(turn_ids: Sequence[UUID]) -> Iterable[Sequence[UUID]]:
    return (turn_ids[start : start + BATCH] for start in range(0, len(turn_ids), BATCH))


async def _redact(connection: Connection, turns: Iterable[Turn]) -> list[UUID]:
    """Store turns without an item, and return the events that say so."""
    events = []
    for turn in turns:
        await connection.execute(_REDACT.sql, *_REDACT.arguments(_row(turn)))
        events.append(await _publish_redaction(connection, turn))
    return events


async def _publish(connection: Connection, turn: Turn) -> None:
    event, subject = stored_event(turn), str(turn.conversation_id)
    event_id = await outbox.append(connection, "conversation.turn.completed", event, subject=subject)
    await connection.execute(_SET_EVENT, turn.id, event_id)


async def _publish_redaction(connection: Connection, turn: Turn) -> UUID:
    event, subject = redacted_event(turn), str(turn.conversation_id)
    event_id = await outbox.append(connection, "conversation.turn.redacted", event, subject=subject)
    await connection.execute(_CONFIRM, event_id)
    return event_id


def _conversation(new: NewItems) -> dict[str, Any]:
    first = new.turns[0]
    return {**_members(new), "id": first.conversation_id, "user_id": first.user_id, "count": len(new.turns)}


def _members(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _row(turn: Turn) -> dict[str, Any]:
    return {
        **_members(turn),
        "entries": [entry.to_json() for entry in turn.entries],
        "tool_results": [dataclasses.asdict(result) for result in turn.tool_results],
    }
