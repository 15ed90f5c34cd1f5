"""Readers of turns, wherever a turn runs: here, on another replica, or no more."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from uuid import UUID

from chat.domain import FIRST_SEQ, Turn
from chat.ports import TurnStore
from chat.reading import Begun, Quiet, Step, from_log, from_row
from chat.turns import Supervisor
from parley.errors import DependencyUnavailable

ROW_LOOK = 1.0
"""Seconds between two looks at the row of a turn that runs elsewhere."""


class Readers:
    """Gives cursors on turns."""

    def __init__(self, store: TurnStore, supervisor: Supervisor) -> None:
        self._store, self._supervisor = store, supervisor

    async def follow(self, turn: Turn, after: int, *, quiet: float) -> AsyncGenerator[Step, None]:
        """Yield what happens in a turn behind a cursor; raises InvalidCursor."""
        log = self._supervisor.log(turn.id)
        if log is not None:
            steps = from_log(log, after, quiet=quiet)
        elif turn.running:
            steps = self._elsewhere(turn, after, quiet)
        else:
            steps = from_row(turn, after)
        async with contextlib.aclosing(steps):
            async for step in steps:
                yield step

    async def last_seq(self, turn: Turn) -> int:
        """Return the seq of the newest event of a turn."""
        log = self._supervisor.log(turn.id)
        if log is not None:
            return log.last_seq
        return FIRST_SEQ if turn.running else turn.last_seq

    def watched(self, turn_id: UUID) -> bool:
        """Say whether anybody reads a turn here."""
        log = self._supervisor.log(turn_id)
        return log is not None and log.readers > 0

    async def hint_cancel(self, turn_id: UUID) -> None:
        """Tell the other replicas that a turn is to end."""

    async def _elsewhere(self, turn: Turn, after: int, quiet: float) -> AsyncGenerator[Step, None]:
        if after < FIRST_SEQ:
            yield Begun(turn)
            after = FIRST_SEQ
        waited = 0.0
        while turn.running:
            await asyncio.sleep(ROW_LOOK)
            waited += ROW_LOOK
            if waited >= quiet:
                waited = 0.0
                yield Quiet()
            with contextlib.suppress(DependencyUnavailable):
                turn = await self._store.get(turn.id) or turn
        async for step in from_row(turn, after):
            yield step
