"""Tombstones of deleted conversations and erased accounts in Postgres."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

import orjson

from chat.events.turn_events import ended_event
from chat.model import EMPTY_USAGE, Outcome, Turn
from chat.storage import erasure_statements as sql
from chat.storage.erasure_batches import BATCH_SIZE, PAGE_SIZE, ErasureBatches
from chat.storage.postgres_turns import PostgresTurnStore
from chat.storage.turn_rows import to_turn
from parley import times
from parley.ids import new_id
from parley.messaging import outbox
from parley.observability.tracing import current_traceparent
from parley.storage.erasure import ERASURE_TIMEOUT, WORK_TIME
from parley.storage.postgres import Connection
from parley_events.models import UserErasureConfirmed

MAX_ENDED_TURNS = 100
"""Running turns that one transaction ends."""


class PostgresTurnErasureStore:
    """Deletion of conversations and erasure of accounts."""

    def __init__(
        self,
        turns: PostgresTurnStore,
        *,
        batch_size: int = BATCH_SIZE,
        page_size: int = PAGE_SIZE,
        work_time: float = WORK_TIME,
    ) -> None:
        """Read the ids of ``page_size`` rows at once, and change ``batch_size`` rows in a transaction.

        Deletions and erasures end unfinished after ``work_time``.
        """
        self._turns, self._batch_size, self._page_size, self._work_time = turns, batch_size, page_size, work_time

    async def delete_conversation(self, conversation_id: UUID, user_id: UUID, deleted_at: datetime) -> list[UUID]:
        """Store a tombstone; returns the running turns, which must be cancelled."""
        async with self._batches().transaction() as connection:
            await connection.execute(sql.DELETE_CONVERSATION, conversation_id, user_id, deleted_at)
            running = await connection.fetch(sql.CANCEL_CONVERSATION, conversation_id, timeout=ERASURE_TIMEOUT)
        return [row["id"] for row in running]

    async def blank_conversation(self, conversation_id: UUID) -> None:
        """Blank the content of a deleted conversation in batches."""
        await _blank(self._batches(), [conversation_id])

    async def cancel_all(self, user_id: UUID) -> list[UUID]:
        """Request cancellation of a user's running turns; returns their ids."""
        async with self._turns.connection() as connection:
            return [row["id"] for row in await connection.fetch(sql.CANCEL_USER, user_id)]

    async def end_turns(self, user_id: UUID) -> list[tuple[UUID, int]]:
        """Store the tombstone of an account, and end running turns; returns their ids and epochs, or [] if none runs.

        Everything that stores something of a user locks the row of the account first, or a row that is locked later.
        """
        while True:
            async with self._batches().transaction() as connection:
                await connection.execute(sql.ERASE_ACCOUNT, user_id, timeout=ERASURE_TIMEOUT)
                found = await connection.fetch(sql.RUNNING_TURNS, user_id, MAX_ENDED_TURNS, timeout=ERASURE_TIMEOUT)
                rows = await connection.fetch(sql.END_RUNNING, [row["id"] for row in found], timeout=ERASURE_TIMEOUT)
                ended = sorted((to_turn(row) for row in rows), key=_partition_key)
                for turn in ended:
                    await _publish_end(connection, turn)
            if ended or not found:
                self._turns.hint()
                return [(turn.id, turn.epoch) for turn in ended]

    async def erase(self, user_id: UUID, erasure_id: str) -> None:
        """Erase a user without running turns in batches. When nothing is left, publish the confirmation.

        Conversations come first: with their tombstones, nobody can delete items of them, which writes events.
        """
        batches = self._batches()
        await batches.apply_to_each(sql.ERASE_CONVERSATIONS, sql.OPEN_CONVERSATIONS, user_id)
        await batches.apply_to_each(sql.BLANK_TURNS, sql.TURNS_OF_USER, user_id)
        await batches.delete_keys(user_id)
        for select in (sql.CONVERSATIONS, sql.TURNS_WITHOUT_CONVERSATION):
            await batches.blank_events_of_each(select, user_id)
        await batches.apply_to_each(sql.RECORD_BLANKED, sql.UNRECORDED_CONVERSATIONS, user_id)
        async with batches.transaction() as connection:
            await connection.execute(sql.LOCK_BUDGETS, user_id)
            await connection.execute("DELETE FROM budgets WHERE user_id = $1", user_id)
            await _confirm(connection, user_id, erasure_id)
        self._turns.hint()

    async def not_deleted(self, conversation_ids: Collection[UUID]) -> set[UUID]:
        """Return the conversations of this list that are not marked as deleted."""
        async with self._turns.connection() as connection:
            return {row["id"] for row in await connection.fetch(sql.NOT_DELETED, list(conversation_ids))}

    async def deletions_compared_until(self) -> datetime | None:
        """Return until when deletions were compared with history, or None."""
        async with self._turns.connection() as connection:
            found: datetime | None = await connection.fetchval(sql.COMPARED_UNTIL)
            return found

    async def record_comparison(self, until: datetime) -> None:
        """Record until when deletions were compared with history."""
        async with self._turns.connection() as connection:
            await connection.execute(sql.RECORD_COMPARISON, until)

    async def blank_deleted_conversations(self) -> None:
        """Blank what deleted conversations still have: a turn that ran at the deletion stores its answer afterwards."""
        batches = self._batches()
        async for ids in batches.pages(sql.UNBLANKED_CONVERSATIONS):
            for batch in batches.split(ids):
                await _blank(batches, batch)

    def _batches(self) -> ErasureBatches:
        return ErasureBatches(self._turns, self._batch_size, self._work_time, page_size=self._page_size)


async def _blank(batches: ErasureBatches, conversations: Sequence[UUID]) -> None:
    for conversation_id in conversations:
        await batches.blank_turns(conversation_id)
    await batches.blank_events(conversations)
    await batches.apply_to_each(sql.RECORD_BLANKED, sql.BLANKED_CONVERSATIONS, conversations)


async def _publish_end(connection: Connection, turn: Turn) -> None:
    event_id, key = new_id(), _partition_key(turn)
    body = orjson.Fragment(ended_event(turn, _blank_end()).model_dump_json())
    await connection.execute(
        "SELECT outbox_append($1, 'conversation.turn.cancelled', $2, $2, $3, $4)",
        event_id,
        key,
        body,
        current_traceparent(),
    )
    await connection.execute("UPDATE turns SET ended_event_id = $2 WHERE id = $1", turn.id, event_id)


def _partition_key(turn: Turn) -> str:
    return str(turn.conversation_id or turn.id)


async def _confirm(connection: Connection, user_id: UUID, erasure_id: str) -> None:
    data = UserErasureConfirmed(user_id=user_id, erasure_id=erasure_id, service="chat", at=times.now())
    event_id = await outbox.append(connection, "user.erasure_confirmed", data, subject=user_id)
    # History does not confirm this event; without a confirmation it would never be purged.
    await connection.execute("UPDATE outbox SET confirmed_at = now() WHERE id = $1", event_id)


def _blank_end() -> Outcome:
    return Outcome(
        status="cancelled",
        finish_reason="cancelled",
        entries=(),
        content="",
        tool_calls=None,
        usage=EMPTY_USAGE,
        cost=None,
        price_version=None,
        provider=None,
        provider_model=None,
        error=None,
        finished_at=times.now(),
    )
