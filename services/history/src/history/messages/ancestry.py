"""Ancestry of the messages that were stored before ``message_ancestry`` existed, or too many at a time.

A trigger stores the ancestry of new messages, whatever statement stores them.
"""

import asyncio
from uuid import UUID, uuid4

from history.database import Database
from parley.process.loop_steps import run_step

BATCH_SIZE = 5_000
"""Messages of one conversation in one transaction, which holds the lock of its user for less than a second."""
MAX_CONVERSATIONS = 20
"""Conversations between two pauses."""
PAUSE_FACTOR = 4.0
"""Length of the pause, in multiples of the time before it: a fifth of the time is work."""
MIN_PAUSE = 0.05
IDLE_PAUSE = 60.0
"""Seconds between two checks when nothing is left."""

_NEXT = """
SELECT p.conversation_id, c.user_id
FROM (SELECT conversation_id FROM ancestry_pending WHERE conversation_id > $1 ORDER BY conversation_id LIMIT 1) AS p
JOIN conversations AS c ON c.id = p.conversation_id"""
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended($1::uuid::text, 0))"
_STORE = "SELECT store_missing_ancestry($1, $2)"
_DONE = "DELETE FROM ancestry_pending WHERE conversation_id = $1"


class AncestryBuilder:
    """Stores the ancestry of the messages in pending conversations.

    A conversation whose user another transaction writes for is left for later, so replicas share the work.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._last, self._has_more = database, uuid4(), False

    async def run(self) -> None:
        """Work on conversations, with pauses; runs until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            began, self._has_more = clock(), False
            await run_step("ancestry", self._go_on)
            pause = max(MIN_PAUSE, PAUSE_FACTOR * (clock() - began))
            await asyncio.sleep(pause if self._has_more else IDLE_PAUSE)

    async def _go_on(self) -> None:
        self._has_more = await self.build_batch()

    async def build_batch(self) -> bool:
        """Work on up to ``MAX_CONVERSATIONS`` conversations; return whether there may be more."""
        for _ in range(MAX_CONVERSATIONS):
            row = await self._database.row(_NEXT, self._last) or await self._database.row(_NEXT, UUID(int=0))
            if row is None:
                return False
            self._last = row["conversation_id"]
            await self._build(self._last, row["user_id"])
        return True

    async def _build(self, conversation_id: UUID, user_id: UUID) -> None:
        async with self._database.transaction() as connection:
            if not await connection.fetchval(_TRY_LOCK, user_id):
                return
            if not await connection.fetchval(_STORE, conversation_id, BATCH_SIZE):
                await connection.execute(_DONE, conversation_id)
