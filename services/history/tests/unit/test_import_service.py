"""Imports: reports, idempotency keys and limits."""

import asyncio
from typing import Any
from uuid import UUID

import orjson
import pytest

from history.change_notifier.notifier import ChangeNotifier
from history.errors import IdempotencyKeyReused
from history.transfer.drafts import ConversationDraft
from history.transfer.import_service import MAX_CONCURRENT_IMPORTS, MAX_SKIPPED, ImportService
from history_testing.fakes import InMemoryImportStore
from parley.errors import InvalidJson, Overloaded, ValidationFailed
from parley.ids import new_id
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


class ImportFixture:
    def __init__(self, store: InMemoryImportStore | None = None, slot_timeout: float = 30) -> None:
        self.store, self.changes, self.user_id = store or InMemoryImportStore(), ChangeNotifier(), new_id()
        self.relay_wakes = 0
        self.service = ImportService(self.store, self.changes, wake_relay=self._wake_relay, slot_timeout=slot_timeout)

    def _wake_relay(self) -> None:
        self.relay_wakes += 1


def _conversation(title: str = "T") -> dict[str, Any]:
    message = {"id": "1", "role": "user", "content": "hi"}
    return {"format": "parley.conversation/1", "conversation": {"title": title}, "messages": [message]}


async def test_every_conversation_is_stored_under_a_new_id_and_the_rest_is_reported() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([_conversation("One"), {"hello": 1}, _conversation("Two")])
    with fixture.changes.watch_feed(fixture.user_id) as feed:
        report, replayed = await fixture.service.run(fixture.user_id, body, lines=False)
        assert feed.is_set()
    assert [(one.index, one.title, one.messages) for one in report.imported] == [(0, "One", 1), (2, "Two", 1)]
    assert [(one.pointer, one.code) for one in report.skipped] == [("/1", "unknown_format")]
    assert set(fixture.store.drafts) == {one.conversation_id for one in report.imported}
    assert (replayed, fixture.relay_wakes) == (False, 1)


async def test_lines_are_separate_conversations_and_empty_ones_are_ignored() -> None:
    fixture = ImportFixture()
    body = b"\n\n".join(orjson.dumps(_conversation(title)) for title in ("One", "Two"))
    report, _ = await fixture.service.run(fixture.user_id, body, lines=True)
    assert [one.title for one in report.imported] == ["One", "Two"]


async def test_a_repeated_key_returns_the_same_ids_and_stores_nothing_new() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([_conversation(), _conversation()])
    first, replayed = await fixture.service.run(fixture.user_id, body, lines=False, key="a")
    again, replayed_again = await fixture.service.run(fixture.user_id, body, lines=False, key="a")
    assert (first, replayed, replayed_again) == (again, False, True)
    other, _ = await fixture.service.run(new_id(), body, lines=False, key="a")
    assert not {one.conversation_id for one in first.imported} & {one.conversation_id for one in other.imported}


async def test_an_interrupted_import_is_completed_by_its_repetition() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([_conversation("One"), _conversation("Two")])
    first, _ = await fixture.service.run(fixture.user_id, body, lines=False, key="a")
    del fixture.store.drafts[first.imported[1].conversation_id]
    again, replayed = await fixture.service.run(fixture.user_id, body, lines=False, key="a")
    assert (again, replayed, len(fixture.store.drafts)) == (first, False, 2)


async def test_a_key_of_another_file_is_refused() -> None:
    fixture = ImportFixture()
    await fixture.service.run(fixture.user_id, orjson.dumps(_conversation()), lines=False, key="a")
    with pytest.raises(IdempotencyKeyReused):
        await fixture.service.run(fixture.user_id, orjson.dumps(_conversation("U")), lines=False, key="a")


async def test_the_list_of_skipped_parts_is_bounded() -> None:
    fixture = ImportFixture()
    body = orjson.dumps([1] * (MAX_SKIPPED + 10))
    report, _ = await fixture.service.run(fixture.user_id, body, lines=False)
    assert len(report.skipped) == MAX_SKIPPED


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"{", InvalidJson), (b"\xff", InvalidJson), (b'"text"', ValidationFailed), (b"1", ValidationFailed)],
)
async def test_a_file_that_is_not_json_or_no_conversation_is_refused(body: bytes, error: type[Exception]) -> None:
    fixture = ImportFixture()
    with pytest.raises(error):
        await fixture.service.run(fixture.user_id, body, lines=False)
    assert fixture.relay_wakes == 0


async def test_imports_beyond_the_limit_are_refused_after_the_slot_timeout() -> None:
    store = BlockingImportStore()
    fixture = ImportFixture(store, slot_timeout=0.01)
    body = orjson.dumps(_conversation())
    running = [
        asyncio.create_task(fixture.service.run(fixture.user_id, body, lines=False))
        for _ in range(MAX_CONCURRENT_IMPORTS)
    ]
    await eventually(lambda: store.entered == MAX_CONCURRENT_IMPORTS)
    with pytest.raises(Overloaded):
        await fixture.service.run(fixture.user_id, body, lines=False)
    store.release.set()
    await asyncio.gather(*running)
    await fixture.service.run(fixture.user_id, body, lines=False)
