"""Search for conversations by a part of their titles, in steps of bounded cost."""

from history.conversations.schemas import Conversation
from history.conversations.store import ConversationFilter, ConversationStore, ListPosition
from parley.process.fair_slots import FairSlots

MAX_TITLES = 5_000
"""Titles that one request compares. To fold one takes 0.015 ms, or 0.5 ms if it has many combining marks."""
STEP_SIZE = 500
"""Titles that one statement compares."""
MAX_SEARCHES = 2
"""Steps of all requests of a process at the same time, and one of each user."""


class TitleSearch:
    """Compares titles, newest update first, until there are enough matches or ``MAX_TITLES`` are compared.

    No index has the parts of titles, and a person may import any number of conversations.
    """

    def __init__(self, store: ConversationStore) -> None:
        self._store, self._slots = store, FairSlots(MAX_SEARCHES, of_client=1)

    async def find(
        self, wanted: ConversationFilter, after: ListPosition | None, limit: int
    ) -> tuple[list[Conversation], ListPosition | None]:
        """Return up to ``limit`` matches, and the position at which the search stopped; None at the end of the list."""
        found: list[Conversation] = []
        for _ in range(0, MAX_TITLES, STEP_SIZE):
            async with self._slots.hold(wanted.user_id):
                # The position comes first: a conversation that changes meanwhile moves to the top, none is left out.
                until = await self._store.position(wanted, after, STEP_SIZE)
                found += await self._store.titled(wanted, after, until, limit - len(found))
            if until is None or len(found) >= limit:
                return found, None
            after = until
        return found, after
