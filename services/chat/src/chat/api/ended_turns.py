"""Ended turns that WebSockets send."""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

from chat.model import Turn
from chat.service import ChatService
from parley.process.fair_slots import FairSlots

MAX_ENDED_TURNS = 1_000
"""Ended turns that the WebSockets of a process send at a time."""
MAX_ENDED_TURNS_OF_USER = 4
"""Those of one user. Each is in memory until its client has read it: as much as ten megabytes."""


class EndedTurns:
    """Reads turns for WebSockets, which may ask for twenty at a time each."""

    def __init__(self) -> None:
        self._slots = FairSlots(MAX_ENDED_TURNS, MAX_ENDED_TURNS_OF_USER)

    @contextlib.asynccontextmanager
    async def open(self, service: ChatService, user_id: UUID, turn_id: UUID) -> AsyncIterator[Turn]:
        """Yield a user's turn to send. An ended one waits until others are sent; raises TurnNotFound."""
        turn = await service.get(user_id, turn_id)
        if turn.running:
            yield turn
            return
        del turn  # not kept in memory while it waits, and read again
        async with self._slots.hold(user_id):
            yield await service.get(user_id, turn_id)
