"""Indexing stored messages again."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from history.search.reindexing import BATCH_SIZE, Reindexer
from history.search.store import StoredText
from history_testing.fakes import InMemoryReindexingStore
from parley.errors import DependencyUnavailable, Overloaded, ParleyError
from parley.ids import new_id
from parley.process.worker_thread import worker_thread
from parley_testing.telemetry.captured_logs import captured_logs


@dataclass(kw_only=True)
class FailingReindexingStore(InMemoryReindexingStore):
    """Raises an error when it is asked for texts."""

    error: ParleyError
    failed: asyncio.Event = field(default_factory=asyncio.Event)

    async def next_texts(self, version: int, limit: int) -> Sequence[StoredText]:
        self.failed.set()
        raise self.error


async def test_every_stored_text_is_indexed_batch_by_batch_until_all_are() -> None:
    texts = [StoredText(new_id(), "1", f"word{n}") for n in range(2 * BATCH_SIZE + 1)]
    store = InMemoryReindexingStore(texts)
    with worker_thread("index") as worker:
        reindexer = Reindexer(store, worker)
        batches = 0
        while await reindexer.index_batch():
            batches += 1
    assert (batches, store.finished) == (3, True)
    assert [one.terms for one in store.terms.values()] == [f"'~{text.content}':1" for text in reversed(texts)]


async def test_a_process_leaves_the_work_to_the_one_that_is_at_it() -> None:
    store = InMemoryReindexingStore([StoredText(new_id(), "1", "é")], claimed=True)
    with worker_thread("index") as worker:
        assert not await Reindexer(store, worker).index_batch()
    assert not store.terms


async def test_a_new_turn_waits_for_the_terms_of_one_stored_text_only() -> None:
    texts = [StoredText(new_id(), "1", "हिन्दी") for _ in range(BATCH_SIZE)]
    store = InMemoryReindexingStore(texts)
    with worker_thread("index") as worker:
        batch = asyncio.create_task(Reindexer(store, worker).index_batch())
        while worker.jobs != 1:
            await asyncio.sleep(0)
        await worker.run(len, "the text of a new turn")
        assert not batch.done()
        assert await batch
    assert len(store.terms) == BATCH_SIZE


@pytest.mark.parametrize("error", [DependencyUnavailable(), Overloaded()], ids=["database lost", "many new turns"])
async def test_a_batch_that_cannot_be_indexed_now_does_not_end_the_loop(error: ParleyError) -> None:
    store = FailingReindexingStore([StoredText(new_id(), "1", "é")], error=error)
    with worker_thread("index") as worker, captured_logs() as logs:
        loop = asyncio.create_task(Reindexer(store, worker).run())
        await store.failed.wait()
        await asyncio.wait([loop], timeout=0.01)
        assert not loop.done()
        loop.cancel()
    assert not [line for line in logs if line["log_level"] == "error"]
