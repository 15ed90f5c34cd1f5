"""Storage of the entries of one import file, up to the user's quota, with the report."""

from collections.abc import Callable
from uuid import UUID

import structlog

from history.transfer.drafts import ConversationDraft
from history.transfer.import_stop import StopReason, refusal, stop_detail
from history.transfer.parsing import ParsedEntry
from history.transfer.quota import CONVERSATION_BYTES
from history.transfer.schemas import MAX_SKIPPED, Imported, ImportReport, Skipped
from history.transfer.store import ConversationNotStorable, ImportStore

log = structlog.get_logger()

NOT_STORABLE = "The conversation has a value that cannot be stored."

IdFactory = Callable[[int], UUID]
"""Returns the conversation id for the entry at an index of the file."""


class EntryStorer:
    """Stores the entries of one file in their order. ``room``: bytes that new conversations may count together."""

    def __init__(self, store: ImportStore, user_id: UUID, make_id: IdFactory, room: int) -> None:
        self._store, self._user_id, self._make_id, self._room = store, user_id, make_id, room
        self._next_index = 0
        self._any_new = False
        self.report = ImportReport(imported=[], skipped=[])

    @property
    def replayed(self) -> bool:
        """Whether an earlier import has stored all conversations."""
        return bool(self.report.imported) and not self._any_new

    async def store(self, entry: ParsedEntry) -> StopReason | None:
        """Store one entry, if it can be imported. Return why the import must stop before it, or None."""
        if entry.draft is None:
            self._skip(entry.skipped)
        else:
            conversation_id, counted = self._make_id(entry.index), CONVERSATION_BYTES + entry.length
            if counted > self._room and not await self._store.is_known(conversation_id):
                return "quota_exceeded"
            self._skip(entry.skipped)
            await self._store_draft(entry.index, conversation_id, entry.draft, counted)
        self._next_index = entry.index + 1
        return None

    def stop(self, reason: StopReason) -> None:
        """Report the first entry that is not imported; raises the error of the reason when nothing is."""
        if not self.report.imported:
            raise refusal(reason)
        log.info("import_stopped", reason=reason, imported=len(self.report.imported))
        code = reason if reason == "quota_exceeded" else "not_imported"
        self.report.skipped.append(_skipped(self._next_index, code, stop_detail(reason)))

    async def _store_draft(self, index: int, conversation_id: UUID, draft: ConversationDraft, counted: int) -> None:
        try:
            title, new = await self._store.store(self._user_id, draft, conversation_id, counted)
        except ConversationNotStorable as refused:
            # Not the driver's message: it quotes the value.
            log.warning("import_not_storable", index=index, error=type(refused.__cause__).__name__)
            self.report.skipped.append(_skipped(index, "not_storable", NOT_STORABLE))
            return
        self._any_new |= new
        self._room -= counted if new else 0
        self.report.imported.append(
            Imported(index=index, conversation_id=conversation_id, title=title, messages=len(draft.messages))
        )

    def _skip(self, parts: list[Skipped]) -> None:
        self.report.skipped.extend(parts[: MAX_SKIPPED - len(self.report.skipped)])


def _skipped(index: int, code: str, detail: str) -> Skipped:
    return Skipped(index=index, pointer=f"/{index}", code=code, detail=detail)
