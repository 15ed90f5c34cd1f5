"""Import service: stores the conversations of a Parley or ChatGPT export."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from history.change_notifier.notifier import ChangeNotifier
from history.errors import IdempotencyKeyReused
from history.transfer.drafts import ConversationDraft
from history.transfer.parsing import parse_entry, split_file
from history.transfer.schemas import Imported, ImportReport
from history.transfer.store import ImportStore
from parley.errors import Overloaded
from parley.ids import new_id

MAX_CONCURRENT_IMPORTS = 2
"""Concurrent imports per process. Each may hold its whole file in memory."""
SLOT_TIMEOUT = 10.0
"""Seconds that an import waits for another one to finish."""
MAX_SKIPPED = 1000
"""Entries of ``skipped`` in a report."""

IdFactory = Callable[[int], UUID]
"""Returns the conversation id for the entry at an index of the file."""


class ImportService:
    """Imports conversations for a user.

    ``wake_relay`` tells the outbox relay that events were stored.
    """

    def __init__(
        self,
        store: ImportStore,
        changes: ChangeNotifier,
        *,
        wake_relay: Callable[[], None],
        slot_timeout: float = SLOT_TIMEOUT,
    ) -> None:
        self._store, self._changes, self._wake_relay = store, changes, wake_relay
        self._slot_timeout = slot_timeout
        self._slots = asyncio.Semaphore(MAX_CONCURRENT_IMPORTS)

    async def run(
        self, user_id: UUID, body: bytes, *, lines: bool, key: str | None = None
    ) -> tuple[ImportReport, bool]:
        """Import a JSON file, or with ``lines`` a file with one JSON object per line.

        Returns the report, and whether an earlier request with the same ``key`` has already imported the whole file.
        Raises InvalidJson, ValidationFailed, IdempotencyKeyReused or Overloaded.
        """
        try:
            async with asyncio.timeout(self._slot_timeout):
                await self._slots.acquire()
        except TimeoutError:
            raise Overloaded("Too many imports are running. Try again later.") from None
        try:
            entries = split_file(body, lines=lines)
            make_id = await self._derive_ids(user_id, key, body) if key else _new_id
            return await self._import(user_id, entries, make_id)
        finally:
            self._slots.release()

    async def _derive_ids(self, user_id: UUID, key: str, body: bytes) -> IdFactory:
        """Derive conversation ids from user, key and file, so that a repeated import finds the stored conversations."""
        digest = hashlib.sha256(body).digest()
        if not await self._store.claim_key(user_id, key, digest):
            raise IdempotencyKeyReused
        seed = hashlib.sha256(b"\0".join((user_id.bytes, key.encode(), digest))).digest()
        return lambda index: UUID(bytes=hashlib.sha256(seed + index.to_bytes(8)).digest()[:16], version=4)

    async def _import(self, user_id: UUID, entries: Iterator[Any], make_id: IdFactory) -> tuple[ImportReport, bool]:
        report, new_count = ImportReport(imported=[], skipped=[]), 0
        for index, entry in enumerate(entries):
            # Parsing is CPU work. A thread keeps the event loop free for other requests.
            draft, skipped = await asyncio.to_thread(parse_entry, index, entry)
            report.skipped.extend(skipped[: MAX_SKIPPED - len(report.skipped)])
            if draft is not None:
                conversation_id = make_id(index)
                title, new = await self._store.store(user_id, draft, conversation_id)
                new_count += new
                report.imported.append(_imported(index, conversation_id, title, draft))
        self._wake_relay()
        self._changes.feed_grew(user_id)
        return report, bool(report.imported) and not new_count


def _new_id(_index: int) -> UUID:
    return new_id()


def _imported(index: int, conversation_id: UUID, title: str | None, draft: ConversationDraft) -> Imported:
    return Imported(index=index, conversation_id=conversation_id, title=title, messages=len(draft.messages))
