"""An import service without a database, for tests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson

from history.change_notifier.notifier import ChangeNotifier
from history.plans import HistoryPlan, HistoryPlans
from history.transfer import parsing
from history.transfer.drafts import ConversationDraft
from history.transfer.entry_scanner import RawEntry
from history.transfer.import_service import ImportFile, ImportService
from history.transfer.schemas import ImportReport, Skipped
from history.transfer.store import ConversationNotStorable
from history_testing.fakes import InMemoryImportStore
from parley.ids import new_id
from parley.process.worker_thread import WorkerThread


class BlockingImportStore(InMemoryImportStore):
    """Stores nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.release = 0, asyncio.Event()

    async def store(
        self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID, counted_bytes: int
    ) -> tuple[str | None, bool]:
        self.entered += 1
        await self.release.wait()
        return await super().store(user_id, draft, conversation_id, counted_bytes)


class ForgetfulImportStore(InMemoryImportStore):
    """Keeps nothing."""

    async def store(
        self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID, counted_bytes: int
    ) -> tuple[str | None, bool]:
        return draft.title, True


class RefusingImportStore(InMemoryImportStore):
    """Refuses conversations with a title."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    async def store(
        self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID, counted_bytes: int
    ) -> tuple[str | None, bool]:
        if draft.title == self._title:
            raise ConversationNotStorable
        return await super().store(user_id, draft, conversation_id, counted_bytes)


class ImportFixture:
    """An import service, and what a test changes of its surroundings."""

    def __init__(
        self,
        store: InMemoryImportStore | None = None,
        slot_timeout: float = 30,
        import_timeout: float = 60,
        quota: int = 2**30,
    ) -> None:
        self.drain_started, self.client_left = asyncio.Event(), False
        self.store, self.changes, self.user_id = store or InMemoryImportStore(), ChangeNotifier(), new_id()
        self.relay_wakes = 0
        self.service = ImportService(
            self.store,
            self.changes,
            WorkerThread("import"),
            plans=HistoryPlans({"small": HistoryPlan(import_bytes=quota // 2)}, HistoryPlan(import_bytes=quota)),
            wake_relay=self._wake_relay,
            drain_started=self.drain_started,
            slot_timeout=slot_timeout,
            import_timeout=import_timeout,
        )

    def _wake_relay(self) -> None:
        self.relay_wakes += 1

    async def run(
        self,
        body: bytes | AsyncIterator[bytes],
        *,
        lines: bool = False,
        key: str | None = None,
        user: UUID | None = None,
        plan: str = "default",
    ) -> tuple[ImportReport, bool]:
        """Import a body."""
        parts = _parts(body) if isinstance(body, bytes) else body
        return await self.service.run(user or self.user_id, plan, ImportFile(parts, lines, self._client_left), key)

    async def _client_left(self) -> bool:
        return self.client_left


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1_000):
        yield body[start : start + 1_000]


HI: dict[str, Any] = {"id": "1", "parent_id": None, "role": "user", "content": "hi"}
"""A message of an export."""


def parley_export(*messages: Any, **conversation: Any) -> dict[str, Any]:
    """Return an export of a conversation with these members."""
    return {"format": "parley.conversation/1", "conversation": conversation, "messages": list(messages)}


def conversation(title: str = "T") -> dict[str, Any]:
    """Return an export with one message."""
    return parley_export(HI, title=title)


def parse_entry(index: int, entry: object) -> tuple[ConversationDraft | None, list[Skipped]]:
    """Return what is imported and what is skipped of an entry."""
    parsed = parsing.parse_entry(RawEntry(index, orjson.dumps(entry)))
    assert parsed.index == index
    return parsed.draft, parsed.skipped
