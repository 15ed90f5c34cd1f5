"""Import service: stores the conversations of an export."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import structlog

from history.change_notifier.notifier import ChangeNotifier
from history.transfer.drafts import ConversationDraft
from history.transfer.import_stop import StopReason, StopSignal, refusal
from history.transfer.parsing import ParsedEntry, check_format, parse_file, take
from history.transfer.schemas import MAX_SKIPPED, Imported, ImportReport, Skipped
from history.transfer.store import ConversationNotStorable, ImportStore
from history.transfer.upload import Upload, open_upload
from parley.ids import new_id
from parley.process.locks import KeyedLocks, held_within
from parley.process.worker_thread import WorkerThread
from parley.web.idempotency_keys import IdempotencyKeyReused

log = structlog.get_logger()

MAX_CONCURRENT_UPLOADS = 8
"""Files that a process receives at a time, and one per user. The body of another one is not read."""
MAX_CONCURRENT_IMPORTS = 2
"""Received files that a process imports at a time. A file that is still being uploaded does not count."""
SLOT_TIMEOUT = 10.0
"""Seconds of each wait: for another import of the user, for an upload slot, and for an import slot."""
TOO_MANY_IMPORTS = "Too many imports are running. Try again later."
IMPORT_TIMEOUT = 100.0
"""Seconds of an import. What is not stored by then is reported as skipped; the gateway waits for 120 s."""
STOPPED_DETAIL = "The import was stopped before this conversation. It and the later ones of the file were not imported."

IdFactory = Callable[[int], UUID]
"""Returns the conversation id for the entry at an index of the file."""


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file that arrives; with ``lines``, it has one JSON object per line.

    ``client_left`` tells, once the body was read, whether the client has closed the connection.
    """

    body: AsyncIterator[bytes]
    lines: bool
    client_left: Callable[[], Awaitable[bool]]


class ImportService:
    """Imports conversations for a user.

    ``worker`` parses files. ``wake_relay`` tells the outbox relay that events were stored. ``drain_started`` is set
    when the process is to stop.
    """

    def __init__(
        self,
        store: ImportStore,
        changes: ChangeNotifier,
        worker: WorkerThread,
        *,
        wake_relay: Callable[[], None],
        drain_started: asyncio.Event,
        slot_timeout: float = SLOT_TIMEOUT,
        import_timeout: float = IMPORT_TIMEOUT,
    ) -> None:
        self._store, self._changes, self._worker, self._wake_relay = store, changes, worker, wake_relay
        self._drain_started = drain_started
        self._slot_timeout, self._import_timeout = slot_timeout, import_timeout
        self._uploads = asyncio.Semaphore(MAX_CONCURRENT_UPLOADS)
        self._imports = asyncio.Semaphore(MAX_CONCURRENT_IMPORTS)
        self._users = KeyedLocks(asyncio.Lock)

    async def run(self, user_id: UUID, file: ImportFile, key: str | None = None) -> tuple[ImportReport, bool]:
        """Import a file.

        Returns the report, and whether an earlier request with the same ``key`` has already imported the whole file.
        Raises InvalidJson, ValidationFailed, IdempotencyKeyReused, Overloaded, Draining, or InvalidRequest when the
        client leaves.
        """
        async with self._slot(self._users.of(user_id)):
            with open_upload() as upload:
                async with self._slot(self._uploads):
                    stop = StopSignal(self._drain_started, file.client_left, self._import_timeout)
                    async with stop.deadline():
                        await upload.receive(file.body, self._worker)
                async with self._slot(self._imports):
                    return await self._import(user_id, upload, file.lines, key, stop)

    def _slot(self, slot: asyncio.Semaphore | asyncio.Lock) -> contextlib.AbstractAsyncContextManager[None]:
        return held_within(self._slot_timeout, slot, TOO_MANY_IMPORTS)

    async def _import(
        self, user_id: UUID, upload: Upload, lines: bool, key: str | None, stop: StopSignal
    ) -> tuple[ImportReport, bool]:
        await self._check(upload, lines, stop)
        make_id = await self._derive_ids(user_id, key, upload.digest) if key else _new_id
        report, new_count = ImportReport(imported=[], skipped=[]), 0
        entries, next_index, more = parse_file(upload, lines=lines), 0, True
        while more:
            found, more = await self._worker.run(take, entries)
            for entry in found:
                new_count += await self._store_entry(user_id, entry, make_id, report)
                next_index = entry.index + 1
            if more and (reason := await stop.reason()):
                more = False
                _report_stop(report, reason, next_index)
        self._wake_relay()
        self._changes.feed_grew(user_id)
        return report, bool(report.imported) and not new_count

    async def _check(self, upload: Upload, lines: bool, stop: StopSignal) -> None:
        checks, more = check_format(upload, lines=lines), True
        while more:
            _, more = await self._worker.run(take, checks)
            if reason := await stop.reason():
                raise refusal(reason)

    async def _store_entry(self, user_id: UUID, entry: ParsedEntry, make_id: IdFactory, report: ImportReport) -> bool:
        """Store one entry, if it can be imported; return whether its conversation is new."""
        report.skipped.extend(entry.skipped[: MAX_SKIPPED - len(report.skipped)])
        if entry.draft is None:
            return False
        conversation_id = make_id(entry.index)
        try:
            title, new = await self._store.store(user_id, entry.draft, conversation_id)
        except ConversationNotStorable as refused:
            # Not the driver's message: it quotes the value.
            log.warning("import_not_storable", index=entry.index, error=type(refused.__cause__).__name__)
            report.skipped.append(_not_stored(entry.index))
            return False
        report.imported.append(_imported(entry.index, conversation_id, title, entry.draft))
        return new

    async def _derive_ids(self, user_id: UUID, key: str, digest: bytes) -> IdFactory:
        """Derive conversation ids from user, key and file, so that a repeated import finds the stored conversations."""
        if not await self._store.claim_key(user_id, key, digest):
            raise IdempotencyKeyReused
        seed = hashlib.sha256(b"\0".join((user_id.bytes, key.encode(), digest))).digest()
        return lambda index: UUID(bytes=hashlib.sha256(seed + index.to_bytes(8)).digest()[:16], version=4)


def _report_stop(report: ImportReport, reason: StopReason, index: int) -> None:
    """Report the first entry that is not imported; raises the error of the reason when nothing is."""
    if not report.imported:
        raise refusal(reason)
    log.info("import_stopped", reason=reason, imported=len(report.imported))
    report.skipped.append(Skipped(index=index, pointer=f"/{index}", code="not_imported", detail=STOPPED_DETAIL))


def _not_stored(index: int) -> Skipped:
    detail = "The conversation has a value that cannot be stored."
    return Skipped(index=index, pointer=f"/{index}", code="not_storable", detail=detail)


def _new_id(_index: int) -> UUID:
    return new_id()


def _imported(index: int, conversation_id: UUID, title: str | None, draft: ConversationDraft) -> Imported:
    return Imported(index=index, conversation_id=conversation_id, title=title, messages=len(draft.messages))
