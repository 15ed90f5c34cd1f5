"""Readers of turns, wherever a turn runs: here, on another replica, or no more."""

import contextlib
from collections.abc import AsyncGenerator
from uuid import UUID

from chat.model import Turn
from chat.running.log_store import LogStore, LogStoreUnavailable
from chat.running.remote_logs import RemoteLogs
from chat.running.supervisor import Supervisor
from chat.running.turn_updates import TurnUpdate, from_log, from_row


class TurnReaders:
    """Gives cursors on turns."""

    def __init__(self, supervisor: Supervisor, mirrors: RemoteLogs, streams: LogStore) -> None:
        self._supervisor, self._mirrors, self._streams = supervisor, mirrors, streams

    def follow(self, turn: Turn, after: int, *, quiet: float) -> AsyncGenerator[TurnUpdate, None]:
        """Yield what happens in a turn behind a cursor; raises InvalidCursor."""
        log = self._supervisor.log(turn.id)
        if log is not None:
            return from_log(log, after, quiet=quiet)
        return self._from_mirror(turn, after, quiet) if turn.running else from_row(turn, after)

    async def _from_mirror(self, turn: Turn, after: int, quiet: float) -> AsyncGenerator[TurnUpdate, None]:
        async with (
            self._mirrors.open(turn) as (mirror, whole),
            contextlib.aclosing(from_log(mirror, after, quiet=quiet, strict=whole)) as steps,
        ):
            async for step in steps:
                yield step

    async def last_seq(self, turn: Turn) -> int:
        """Return the seq of the newest event of a turn."""
        log = self._supervisor.log(turn.id)
        if log is not None:
            return log.last_seq
        return await self._mirrors.last_seq(turn) if turn.running else turn.last_seq

    async def has_readers(self, turn_id: UUID) -> bool:
        """Say whether anybody reads a turn, on whichever replica; also when that cannot be learnt."""
        log = self._supervisor.log(turn_id)
        if log is not None and log.readers:
            return True
        try:
            return await self._streams.is_read(turn_id)
        except LogStoreUnavailable:
            return True

    async def publish_cancellation(self, turn_id: UUID) -> None:
        """Tell the other replicas that a turn is to end."""
        if self._supervisor.log(turn_id) is None:
            await self._streams.publish_cancellation(turn_id)
