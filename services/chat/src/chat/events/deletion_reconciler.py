"""Comparison of deletions with history: applies those whose event was lost or dead-lettered."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from chat.events.erasure_store import TurnErasureStore
from chat.history import DeletedConversation, History
from parley import times

log = structlog.get_logger()

PAGE_SIZE = 1000
MAX_PAGES = 100
OVERLAP = timedelta(minutes=15)
"""Time before the last comparison that is compared again: deletions do not commit in the order of their time."""
EVENT_DELAY = timedelta(seconds=60)
"""Age from which the event of a deletion counts as lost."""

Position = tuple[datetime, UUID]
"""Time of a deletion and ID of its conversation."""
Delete = Callable[[UUID, UUID, datetime], Awaitable[None]]
"""Deletes a conversation, given its ID, its owner and the time of the deletion."""


class DeletionReconciler:
    """Asks history which conversations were deleted, and deletes those that are left here."""

    def __init__(
        self, store: TurnErasureStore, history: History, delete: Delete, *, max_pages: int = MAX_PAGES
    ) -> None:
        self._store, self._history, self._delete, self._max_pages = store, history, delete, max_pages
        self._unfinished: Position | None = None

    async def reconcile(self) -> None:
        """Compare the deletions since the last comparison, at most ``max_pages``; raises DependencyUnavailable."""
        position, self._unfinished = self._unfinished or await self._start(), None
        for _ in range(self._max_pages):
            asked_at = times.now()
            page = await self._history.deletions(position, PAGE_SIZE)
            await self._apply(page)
            if len(page) < PAGE_SIZE:
                # Until now, not until the last deletion: it may be one of thousands, which each run would read again.
                await self._store.record_comparison(asked_at)
                return
            position = page[-1].deleted_at, page[-1].conversation_id
            await self._store.record_comparison(min(page[-1].deleted_at, asked_at))
        # The next run goes on here. With the overlap, it might get no further than this one.
        self._unfinished = position

    async def _start(self) -> Position | None:
        until = await self._store.deletions_compared_until()
        return (until - OVERLAP, UUID(int=0)) if until else None

    async def _apply(self, page: list[DeletedConversation]) -> None:
        lost_before = times.now() - EVENT_DELAY
        due = {one.conversation_id: one for one in page if one.deleted_at < lost_before}
        if not due:
            return
        for conversation_id in sorted(await self._store.not_deleted(due)):
            deleted = due[conversation_id]
            await self._delete(conversation_id, deleted.user_id, deleted.deleted_at)
            log.warning("deletion_repaired", conversation_id=str(conversation_id))
