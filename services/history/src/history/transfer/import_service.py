"""Import service: stores the conversations of an export."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

from history.change_notifier.notifier import ChangeNotifier
from history.plans import HistoryPlans
from history.transfer.entry_storing import EntryStorer, IdFactory
from history.transfer.import_stop import StopSignal, refusal
from history.transfer.parsing import check_format, parse_file, take
from history.transfer.quota import CONVERSATION_BYTES
from history.transfer.schemas import ImportReport
from history.transfer.store import ImportStore
from history.transfer.upload import Upload, open_upload
from parley.ids import new_id
from parley.process.locks import KeyedLocks, held_within
from parley.process.upload_slots import UploadSlots
from parley.process.worker_thread import WorkerThread
from parley.web.idempotency_keys import IdempotencyKeyReused

MAX_CONCURRENT_UPLOADS = 8
"""Files that a process receives at a time, and one per user. The body of another one is not read."""
MAX_CONCURRENT_IMPORTS = 2
"""Received files that a process imports at a time. A file that is still being uploaded does not count."""
SLOT_TIMEOUT = 10.0
"""Seconds of each wait: for another import of the user, for an upload slot, and for an import slot."""
TOO_MANY_IMPORTS = "Too many imports are running. Try again later."
IMPORT_TIMEOUT = 100.0
"""Seconds of an import. What is not stored by then is reported as skipped; the gateway waits for 120 s."""


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A file that arrives; with ``lines``, it has one JSON object per line.

    ``client_left`` tells, once the body was read, whether the client has closed the connection.
    """

    body: AsyncIterator[bytes]
    lines: bool
    client_left: Callable[[], Awaitable[bool]]


class ImportService:
    """Imports conversations for a user, as many as the user's plan allows.

    ``worker`` parses files. ``wake_relay`` tells the outbox relay that events were stored. ``drain_started`` is set
    when the process is to stop.
    """

    def __init__(
        self,
        store: ImportStore,
        changes: ChangeNotifier,
        worker: WorkerThread,
        *,
        plans: HistoryPlans,
        wake_relay: Callable[[], None],
        drain_started: asyncio.Event,
        slot_timeout: float = SLOT_TIMEOUT,
        import_timeout: float = IMPORT_TIMEOUT,
    ) -> None:
        self._store, self._changes, self._worker, self._wake_relay = store, changes, worker, wake_relay
        self._plans, self._drain_started = plans, drain_started
        self._slot_timeout, self._import_timeout = slot_timeout, import_timeout
        self._uploads = UploadSlots(MAX_CONCURRENT_UPLOADS, 1, TOO_MANY_IMPORTS, timeout=slot_timeout)
        self._imports = asyncio.Semaphore(MAX_CONCURRENT_IMPORTS)
        self._users = KeyedLocks(asyncio.Lock)

    async def run(
        self, user_id: UUID, plan: str, file: ImportFile, key: str | None = None
    ) -> tuple[ImportReport, bool]:
        """Import a file.

        Returns the report, and whether an earlier request with the same ``key`` has already imported the whole file.
        Raises InvalidJson, ValidationFailed, IdempotencyKeyReused, QuotaExceeded, Overloaded, Draining, or
        InvalidRequest when the client leaves.
        """
        async with self._slot(self._users.of(user_id)):
            room = self._plans.find(plan).import_bytes - await self._store.imported_bytes(user_id)
            if room < CONVERSATION_BYTES and key is None:  # with a key, it may all be stored already
                raise refusal("quota_exceeded")
            with open_upload() as upload:
                async with self._uploads.take(user_id) as slot:
                    stop = StopSignal(self._drain_started, file.client_left, self._import_timeout)
                    async with stop.deadline():
                        await upload.receive(slot.paced(file.body, len), self._worker)
                async with self._slot(self._imports):
                    storer = await self._import(user_id, upload, file.lines, key, stop, room)
        self._wake_relay()
        self._changes.feed_grew(user_id)
        return storer.report, storer.replayed

    def _slot(self, slot: asyncio.Semaphore | asyncio.Lock) -> contextlib.AbstractAsyncContextManager[None]:
        return held_within(self._slot_timeout, slot, TOO_MANY_IMPORTS)

    async def _import(
        self, user_id: UUID, upload: Upload, lines: bool, key: str | None, stop: StopSignal, room: int
    ) -> EntryStorer:
        await self._check(upload, lines, stop)
        make_id = await self._derive_ids(user_id, key, upload.digest) if key else _new_id
        storer, entries = EntryStorer(self._store, user_id, make_id, room), parse_file(upload, lines=lines)
        more, reason = True, None
        while more and reason is None:
            found, more = await self._worker.run(take, entries)
            for entry in found:
                reason = reason or await storer.store(entry)
            if more and reason is None:
                reason = await stop.reason()
        if reason is not None:
            storer.stop(reason)
        return storer

    async def _check(self, upload: Upload, lines: bool, stop: StopSignal) -> None:
        checks, more = check_format(upload, lines=lines), True
        while more:
            _, more = await self._worker.run(take, checks)
            if reason := await stop.reason():
                raise refusal(reason)

    async def _derive_ids(self, user_id: UUID, key: str, digest: bytes) -> IdFactory:
        """Derive conversation ids from user, key and file, so that a repeated import finds the stored conversations."""
        if not await self._store.claim_key(user_id, key, digest):
            raise IdempotencyKeyReused
        seed = hashlib.sha256(b"\0".join((user_id.bytes, key.encode(), digest))).digest()
        return lambda index: UUID(bytes=hashlib.sha256(seed + index.to_bytes(8)).digest()[:16], version=4)


def _new_id(_index: int) -> UUID:
    return new_id()
