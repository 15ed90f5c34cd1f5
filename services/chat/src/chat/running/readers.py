"""Readers of turns that run in this process, on another replica, or have ended."""

import contextlib
from collections.abc import AsyncGenerator
from uuid import UUID

from chat.model import FIRST_SEQ, Turn
from chat.running.remote_logs import RemoteLogs
from chat.running.supervisor import Supervisor
from chat.running.turn_log import NEVER_IDLE
from chat.running.turn_log_store import LogStore, LogStoreUnavailable
from chat.running.turn_updates import DirectDeltas, TurnFinished, TurnUpdate, from_log, from_row
from chat.running.turn_view import TurnView


class TurnReaders:
    """Reads turns from the local log, a remote log, or the stored row."""

    def __init__(self, supervisor: Supervisor, remote_logs: RemoteLogs, log_store: LogStore) -> None:
        self._supervisor, self._remote_logs, self._log_store = supervisor, remote_logs, log_store

    def follow(
        self, turn: Turn, after: int, *, idle_after: float, direct: DirectDeltas | None = None
    ) -> AsyncGenerator[TurnUpdate, None]:
        """Yield the updates of a turn behind a cursor; raises InvalidCursor."""
        log = self._supervisor.log(turn.id)
        if log is not None:
            return from_log(log, after, idle_after=idle_after, direct=direct)
        return self._from_remote(turn, after, idle_after, direct) if turn.running else from_row(turn, after)

    async def ended(self, turn: Turn) -> Turn | None:
        """Wait for the end of a running turn; None if its end cannot be determined now."""
        log = self._supervisor.log(turn.id)
        if log is None:
            return await self._ended_elsewhere(turn)
        await log.wait_closed()
        return log.turn if log.state == "ended" else None

    async def _ended_elsewhere(self, turn: Turn) -> Turn | None:
        async with contextlib.aclosing(self._from_remote(turn, FIRST_SEQ, NEVER_IDLE)) as updates:
            async for update in updates:
                if isinstance(update, TurnFinished):
                    return update.turn
        return None

    async def _from_remote(
        self, turn: Turn, after: int, idle_after: float, direct: DirectDeltas | None = None
    ) -> AsyncGenerator[TurnUpdate, None]:
        async with (
            self._remote_logs.open(turn) as (log, complete),
            contextlib.aclosing(from_log(log, after, idle_after=idle_after, strict=complete, direct=direct)) as updates,
        ):
            async for update in updates:
                yield update

    async def view(self, turn: Turn) -> TurnView:
        """Return a turn with its answer so far."""
        log = self._supervisor.log(turn.id)
        if log is None:
            return await self._remote_logs.view(turn) if turn.running else TurnView.of_row(turn)
        return TurnView.of_log(log)

    async def has_readers(self, turn_id: UUID) -> bool:
        """Tell whether a turn has readers on any replica; True if the log store is unavailable."""
        log = self._supervisor.log(turn_id)
        if log is not None and log.readers:
            return True
        try:
            return await self._log_store.is_read(turn_id)
        except LogStoreUnavailable:
            return True

    async def publish_cancellation(self, turn_id: UUID) -> None:
        """Notify the other replicas of a cancellation, unless the turn runs here."""
        if self._supervisor.log(turn_id) is None:
            await self._log_store.publish_cancellation(turn_id)
