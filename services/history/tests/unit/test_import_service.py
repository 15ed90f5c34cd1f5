"""Imports: reports, idempotency keys and limits."""

import asyncio
import os
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from history.change_notifier.notifier import ChangeNotifier
from history.errors import IdempotencyKeyReused
from history.transfer import entry_scanner
from history.transfer.drafts import ConversationDraft
from history.transfer.import_service import MAX_CONCURRENT_IMPORTS, ImportFile, ImportService
from history.transfer.schemas import MAX_SKIPPED, ImportReport
from history_testing.fakes import InMemoryImportStore
from parley.errors import Draining, InvalidJson, InvalidRequest, Overloaded, ValidationFailed
from parley.ids import new_id
from parley.process.worker_thread import WorkerThread
from parley_testing import eventually


class BlockingImportStore(InMemoryImportStore):
    """Stores nothing until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.release = 0, asyncio.Event()

    async def store(self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID) -> tuple[str | None, bool]:
        self.entered += 1
        await self.release.wait()
        return await super().store(user_id, draft, conversation_id)


class ForgetfulImportStore(InMemoryImportStore):
    """Keeps nothing."""

    async def store(self, user_id: UUID, draft: ConversationDraft, conversation_id: UUID) -> tuple[str | None, bool]:
        return draft.title, True


class ImportFixture:
    def __init__(
        self, store: InMemoryImportStore | None = None, slot_timeout: float = 30, import_timeout: float = 60
    ) -> None:
        self.drain_started, self.client_left = asyncio.Event(), False
        self.store, self.changes, self.user_id = store or InMemoryImportStore(), ChangeNotifier(), new_id()
        self.relay_wakes = 0
        self.service = ImportService(
            self.store,
            self.changes,
            WorkerThread("import"),
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
    ) -> tuple[ImportReport, bool]:
        parts = _parts(body) if isinstance(body, bytes) else body
        return await self.service.run(user or self.user_id, ImportFile(parts, lines, self._client_left), key)

    async def _client_left(self) -> bool:
        return self.client_left


async def _parts(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 1_000):
        yield body[start : start + 1_000]


def _conversation(title: str = "T") -> dict[str, Any]:
    message = {"id": "1", "role": "user", "content": "hi"}
    return {"format": "parley.conversation/1", "conversation": {"title": title}, "messages": [message]}


async def test_every_conversation_is_stored_under_a_new_id_and_the_rest_is_reported() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([_conversation("One"), {"hello": 1}, _conversation("Two")])
    with fixture.changes.watch_feed(fixture.user_id) as feed:
        report, replayed = await fixture.run(body)
        assert feed.is_set()
    assert [(one.index, one.title, one.messages) for one in report.imported] == [(0, "One", 1), (2, "Two", 1)]
    assert [(one.pointer, one.code) for one in report.skipped] == [("/1", "unknown_format")]
    assert set(fixture.store.drafts) == {one.conversation_id for one in report.imported}
    assert (replayed, fixture.relay_wakes) == (False, 1)


async def test_lines_are_separate_conversations_and_empty_ones_are_ignored() -> None:
    fixture = ImportFixture()
    body = b"\n\n".join(orjson.dumps(_conversation(title)) for title in ("One", "Two"))
    report, _ = await fixture.run(body, lines=True)
    assert [one.title for one in report.imported] == ["One", "Two"]


async def test_a_repeated_key_returns_the_same_ids_and_stores_nothing_new() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([_conversation(), _conversation()])
    first, replayed = await fixture.run(body, key="a")
    again, replayed_again = await fixture.run(body, key="a")
    assert (first, replayed, replayed_again) == (again, False, True)
    other, _ = await fixture.run(body, key="a", user=new_id())
    assert not {one.conversation_id for one in first.imported} & {one.conversation_id for one in other.imported}


async def test_an_interrupted_import_is_completed_by_its_repetition() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([_conversation("One"), _conversation("Two")])
    first, _ = await fixture.run(body, key="a")
    del fixture.store.drafts[first.imported[1].conversation_id]
    again, replayed = await fixture.run(body, key="a")
    assert (again, replayed, len(fixture.store.drafts)) == (first, False, 2)


async def test_a_key_of_another_file_is_refused() -> None:
    fixture = ImportFixture()
    await fixture.run(orjson.dumps(_conversation()), key="a")
    with pytest.raises(IdempotencyKeyReused):
        await fixture.run(orjson.dumps(_conversation("U")), key="a")


async def test_the_list_of_skipped_parts_is_bounded() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([1] * (MAX_SKIPPED + 10))
    report, _ = await fixture.run(body)
    assert len(report.skipped) == MAX_SKIPPED


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", InvalidJson), (b"\xff", InvalidJson), (b'"text"', ValidationFailed), (b"1", ValidationFailed)],
)
async def test_a_file_that_is_not_json_or_no_conversation_is_refused(body: bytes, error: type[Exception]) -> None:
    fixture = ImportFixture()
    with pytest.raises(error):
        await fixture.run(body)
    assert fixture.relay_wakes == 0


async def _endless_body(reads: list[int]) -> AsyncIterator[bytes]:
    while True:
        reads.append(1)
        yield b"["
        await asyncio.sleep(0)


async def test_imports_beyond_the_limit_are_refused_after_the_slot_timeout_and_their_bodies_not_read() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store, slot_timeout=0.01)
    body, reads = orjson.dumps(_conversation()), list[int]()
    running = [asyncio.create_task(fixture.run(body, user=new_id())) for _ in range(MAX_CONCURRENT_IMPORTS)]
    await eventually(lambda: store.entered == MAX_CONCURRENT_IMPORTS)
    with pytest.raises(Overloaded):
        await fixture.run(_endless_body(reads))
    assert not reads
    store.release.set()
    await asyncio.gather(*running)
    await fixture.run(body)


async def test_a_user_has_one_slot() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store, slot_timeout=0.01)
    running = asyncio.create_task(fixture.run(orjson.dumps(_conversation())))
    await eventually(lambda: store.entered == 1)
    with pytest.raises(Overloaded):
        await fixture.run(orjson.dumps(_conversation()))
    store.release.set()
    await fixture.run(orjson.dumps(_conversation()), user=new_id())
    await running


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"[" + b"{}," * entry_scanner.MAX_ENTRIES + b"{}]", False),
        (b"{}\n" * (entry_scanner.MAX_ENTRIES + 1), True),
        (b'{"mapping":[' + b"{}," * entry_scanner.MAX_FILE_TOKENS + b"{}]}", False),
    ],
)
async def test_a_file_with_too_many_parts_is_refused_before_anything_is_stored(body: bytes, lines: bool) -> None:
    fixture = ImportFixture()
    with pytest.raises(ValidationFailed) as error:
        await fixture.run(body, lines=lines)
    assert error.value.errors[0].code == "too_long"
    assert not fixture.store.drafts


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (b'{"format":"' + b"x" * entry_scanner.MAX_ENTRY_BYTES + b'"}', "too_long"),
        (b"[" + b"0," * entry_scanner.MAX_ENTRY_TOKENS + b"0]", "too_long"),
        (b"[" * 100 + b"]" * 100, "too_deep"),
    ],
)
async def test_an_entry_beyond_a_bound_is_skipped_and_the_others_are_imported(entry: bytes, code: str) -> None:
    fixture = ImportFixture()
    report, _ = await fixture.run(b"[" + entry + b"," + orjson.dumps(_conversation()) + b"]")
    assert [(one.pointer, one.code) for one in report.skipped] == [("/0", code)]
    assert [one.index for one in report.imported] == [1]


@pytest.mark.alone
async def test_a_large_file_takes_little_memory() -> None:
    fixture = ImportFixture(ForgetfulImportStore())
    conversation = _conversation() | {
        "messages": [{"id": str(i), "role": "user", "content": "x" * 10_000} for i in range(100)]
    }
    body = orjson.dumps([conversation] * 30)
    tracemalloc.start()
    try:
        report, _ = await fixture.run(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(report.imported) == 30
    assert peak < len(body)


@pytest.mark.alone
async def test_the_event_loop_runs_while_a_hostile_file_is_scanned() -> None:
    fixture, longest = ImportFixture(), 0.0
    importing = asyncio.create_task(fixture.run(b'{"a":[' + b"{}," * 2_000_000 + b"{}]}"))
    while not importing.done():
        began = time.perf_counter()
        await asyncio.sleep(0)
        longest = max(longest, time.perf_counter() - began)
    with pytest.raises(ValidationFailed):
        await importing
    assert longest < 0.1 * os.cpu_count()  # type: ignore[operator]


async def test_a_client_that_leaves_ends_its_import() -> None:
    fixture = ImportFixture()
    fixture.client_left = True
    with pytest.raises(InvalidRequest):
        await fixture.run(orjson.dumps([_conversation()]))
    assert not fixture.store.drafts


async def test_a_drain_ends_an_import_and_the_report_says_where() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store)
    running = asyncio.create_task(fixture.run(orjson.dumps([_conversation(str(i)) for i in range(5)]), key="a"))
    await eventually(lambda: store.entered == 1)
    fixture.drain_started.set()
    store.release.set()
    report, replayed = await running
    assert ([one.index for one in report.imported], replayed) == ([0], False)
    assert [(one.index, one.pointer, one.code) for one in report.skipped] == [(1, "/1", "not_imported")]
    with pytest.raises(Draining):
        await fixture.run(orjson.dumps([_conversation()]))


async def test_an_upload_that_takes_too_long_is_refused() -> None:
    fixture = ImportFixture(import_timeout=0.05)
    with pytest.raises(Overloaded):
        await fixture.run(_endless_body([]))
