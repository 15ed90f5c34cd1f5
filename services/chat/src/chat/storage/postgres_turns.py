"""Turns in Postgres. Admission and finish are one statement each."""

import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Collection
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import orjson

from chat.errors import Erased
from chat.events.turn_events import ended_event, started_event
from chat.model import ConversationState, IdempotencyKey, NewTurn, Outcome, Reservation, Turn
from chat.past_exchanges import PastExchange
from chat.storage import turn_statements
from chat.storage.turn_lists import READ, list_statement
from chat.storage.turn_rows import ended_turn, to_conversation, to_exchange, to_turn
from chat.turn_store import (
    AdmissionResult,
    BudgetExceeded,
    IdempotencyRecord,
    TurnPage,
    TurnRefused,
    TurnSnapshot,
    TurnsTooLong,
)
from parley.errors import DependencyUnavailable, Overloaded
from parley.ids import new_id
from parley.observability.tracing import current_traceparent
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.database import PostgresDatabase
from parley.storage.named_parameters import NamedStatement
from parley.storage.postgres import Connection, Pool
from parley_events.models import EventData

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MAX_ATTEMPTS = 3
RETRY_WINDOW = 1.0
"""Seconds after which a statement is not retried while the database is unavailable, because the client waits."""
Hint = Callable[[], None]


class PostgresTurnStore:
    """Turns in Postgres; ``hint`` notifies the relay of a committed event."""

    def __init__(self, pool: Pool, hint: Hint, queue: ConnectionQueue | None = None) -> None:
        """Let requests wait in ``queue`` for a connection. Ends of turns go first, because they free resources."""
        self._database = PostgresDatabase(pool, queue=queue)
        self._endings = PostgresDatabase(pool, queue=queue, urgent=True)
        self._background, self.hint = PostgresDatabase(pool), hint

    async def admit(self, turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> AdmissionResult:
        """Admit a turn with its ``turn.started`` event in one statement."""
        try:
            row = await self._execute(self._database, turn_statements.ADMIT, _admission(turn, runner_id, key))
        except (asyncpg.NotNullViolationError, asyncpg.UniqueViolationError) as error:
            # The turn itself may be what is in the way: the statement is repeated if its commit was not acknowledged.
            stored = await self.get(turn.id)
            if stored is None:
                raise (BudgetExceeded if error.column_name == "periods" else TurnRefused) from error
            self.hint()
            return AdmissionResult(stored.id, stored.number, None)
        if row is None:
            raise TurnRefused
        self.hint()
        return AdmissionResult(row["turn_id"], row["number"], row["body_hash"])

    async def move_reservation(self, turn: Turn, model: str, reservation: Reservation) -> bool:
        """Move the reservation of a running turn to a fallback model in one statement; raises BudgetExceeded."""
        values = {**_columns(reservation), "turn_id": turn.id, "epoch": turn.epoch, "model": model}
        try:
            return await self._execute(self._database, turn_statements.MOVE_RESERVATION, values) is not None
        except asyncpg.NotNullViolationError as error:
            raise BudgetExceeded from error

    async def finish(self, turn: Turn, outcome: Outcome) -> Turn | None:
        """Finish a running turn of this epoch with its event in one statement."""
        row = await self._execute(self._endings, turn_statements.FINISH, _ending(turn, outcome))
        if row is None:
            return await self._finished_by_us(turn)
        self.hint()
        if outcome.tool_calls:  # Postgres stores the members of their objects in an order of its own
            return await self._finished_by_us(turn)
        return ended_turn(turn, outcome, row)

    async def _finished_by_us(self, turn: Turn) -> Turn | None:
        row = await self._endings.row("SELECT * FROM turns WHERE id = $1", turn.id)
        ours = row is not None and row["epoch"] == turn.epoch and row["status"] != "running"
        return to_turn(row) if ours else None

    async def get(self, turn_id: UUID) -> Turn | None:
        """Return a turn of a conversation that is not deleted."""
        row = await self._database.row(turn_statements.GET, turn_id)
        return to_turn(row) if row else None

    async def snapshots(self, turn_ids: Collection[UUID], *, characters: int) -> list[TurnSnapshot]:
        """Return those turns that exist, each as it was at one moment with its conversation; raises TurnsTooLong."""
        rows = await self._database.fetch(READ, list(turn_ids), characters)
        if rows and rows[0]["read_ids"] < len(turn_ids):
            raise TurnsTooLong
        return [TurnSnapshot(to_turn(row), row["item_deletions"]) for row in rows]

    async def find_key(self, user_id: UUID, route: str, key: str) -> IdempotencyRecord | None:
        """Return the turn of an idempotency key, or None."""
        row = await self._database.row(turn_statements.FIND_KEY, user_id, route, key)
        return IdempotencyRecord(row["turn_id"], row["body_hash"]) if row else None

    async def claim_key(self, key: IdempotencyKey, wanted: UUID) -> IdempotencyRecord:
        """Bind an idempotency key to an ID, or return what it belongs to; raises Erased."""
        arguments = (key.user_id, key.route, key.key, key.body_hash, wanted)
        row = await self._database.row(turn_statements.CLAIM_KEY, *arguments)
        if row is None:
            raise Erased
        return IdempotencyRecord(row["turn_id"], row["body_hash"])

    async def conversation(self, conversation_id: UUID) -> ConversationState | None:
        """Return the state of a conversation, or None."""
        row = await self._database.row(turn_statements.CONVERSATION, conversation_id)
        return to_conversation(row) if row else None

    async def claim_conversation(self, conversation_id: UUID, user_id: UUID) -> ConversationState:
        """Store a conversation without turns unless it exists, and return it; raises Erased."""
        await self._database.execute(turn_statements.CLAIM_CONVERSATION, conversation_id, user_id)
        found = await self.conversation(conversation_id)
        if found is None:
            raise Erased
        return found

    async def is_erased(self, user_id: UUID) -> bool:
        """Return whether the account was erased."""
        row = await self._database.row(turn_statements.ERASED, user_id)
        return bool(row and row[0])

    async def list_turns(
        self,
        user_id: UUID,
        *,
        conversation_id: UUID | None,
        status: str | None,
        before: UUID | None,
        limit: int,
        characters: int,
        with_files: bool = False,
    ) -> TurnPage:
        """Return a page of a user's turns, newest first."""
        statement = list_statement(of_conversation=conversation_id is not None, with_files=with_files, status=status)
        chosen = () if conversation_id is None else (conversation_id,)
        while found := await self._database.fetch(statement, user_id, status, before, limit + 1, *chosen):
            rows = await self._database.fetch(READ, [row["id"] for row in found[:limit]], characters)
            if rows:
                return TurnPage([to_turn(row) for row in rows], more=rows[0]["read_ids"] < len(found))
            before = found[:limit][-1]["id"]  # all of them were deleted meanwhile
        return TurnPage([], more=False)

    async def chain(self, conversation_id: UUID, turn_id: UUID, *, characters: int, limit: int) -> list[PastExchange]:
        """Return finished turns from ``turn_id`` back to the root, newest first."""
        rows = await self._database.fetch(turn_statements.CHAIN, conversation_id, turn_id, characters, limit)
        return [to_exchange(row) for row in rows]

    async def request_cancel(self, turn_id: UUID) -> None:
        """Request the cancellation of a turn."""
        await self._database.execute(turn_statements.REQUEST_CANCEL, turn_id)

    async def hide_response(self, turn_id: UUID) -> None:
        """Hide a turn from the Responses API."""
        await self._database.execute(turn_statements.HIDE_RESPONSE, turn_id)

    @contextlib.asynccontextmanager
    async def connection(self, *, queued: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection for background work, or ``queued`` for a request.

        Raises DependencyUnavailable while Postgres is unavailable.
        """
        database = self._database if queued else self._background
        async with database.connection() as connection:
            yield connection

    @staticmethod
    async def _execute(database: PostgresDatabase, statement: NamedStatement, values: dict[str, Any]) -> Any:
        """Retry unacknowledged commits; the statements are idempotent."""
        arguments = statement.arguments(values)
        began = time.monotonic()
        for _ in range(1, MAX_ATTEMPTS):
            try:
                return await database.row(statement.sql, *arguments)
            except Overloaded:
                raise
            except DependencyUnavailable:
                if time.monotonic() - began > RETRY_WINDOW:
                    raise
        return await database.row(statement.sql, *arguments)


def _admission(turn: NewTurn, runner_id: UUID, key: IdempotencyKey | None) -> dict[str, Any]:
    return {
        **_columns(turn),
        **_columns(turn.reservation),
        "turn_id": turn.id,
        "source_ids": list(turn.copied_from),
        "source_deletions": list(turn.copied_from.values()),
        "tool_results": [dataclasses.asdict(result) for result in turn.tool_results],
        "route": key.route if key else None,
        "key": key.key if key else None,
        "body_hash": key.body_hash if key else None,
        "kept_system_prompt": turn.kept_system_prompt,
        "runner_id": runner_id,
        "event_id": new_id(),
        "event": _json(started_event(turn, turn.conversation_id)) if turn.conversation_id else None,
        "traceparent": current_traceparent(),
    }


def _ending(turn: Turn, outcome: Outcome) -> dict[str, Any]:
    return {
        **_columns(outcome),
        "turn_id": turn.id,
        "epoch": turn.epoch,
        "conversation_id": turn.conversation_id,
        "entries": [entry.to_json() for entry in outcome.entries],
        "usage": outcome.usage.model_dump(),
        "error": dataclasses.asdict(outcome.error) if outcome.error else None,
        "has_output": outcome.has_output,
        "event_id": new_id(),
        "event_name": f"conversation.turn.{outcome.status}",
        "partition_key": str(turn.conversation_id or turn.id),
        "event": _json(ended_event(turn, outcome)),
        "traceparent": current_traceparent(),
    }


def _columns(record: "DataclassInstance") -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _json(event: EventData) -> orjson.Fragment:
    return orjson.Fragment(event.model_dump_json())
