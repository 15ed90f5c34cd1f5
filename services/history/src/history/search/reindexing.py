"""Reindexing of stored messages after a change of the tokenizer."""

import asyncio
import contextlib

import structlog

from history.search.store import IndexTerms, ReindexingStore, StoredText
from history.search.tokenizer import INDEX_VERSION, index_terms
from parley.errors import Overloaded
from parley.process.loop_steps import run_step
from parley.process.worker_thread import WorkerThread

log = structlog.get_logger()

BATCH_SIZE = 50
"""Messages that are read at a time."""
PAUSE_FACTOR = 4.0
"""Length of the pause after a batch, in multiples of the batch's time: a fifth of the time is work."""
MIN_PAUSE = 0.05
RETRY_PAUSE = 60.0
"""Seconds between two checks while another process indexes, or when nothing is left."""


class Reindexer:
    """Makes the terms of stored messages again, in a worker thread and batch by batch.

    Searches find messages by their earlier terms until then. Only one process at a time works.
    """

    def __init__(self, store: ReindexingStore, worker: WorkerThread) -> None:
        self._store, self._worker, self._has_more = store, worker, False

    async def run(self) -> None:
        """Index batch after batch, with pauses; runs until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            began, self._has_more = clock(), False
            await run_step("reindex", self._go_on)
            pause = max(MIN_PAUSE, PAUSE_FACTOR * (clock() - began))
            await asyncio.sleep(pause if self._has_more else RETRY_PAUSE)

    async def _go_on(self) -> None:
        with contextlib.suppress(Overloaded):  # the thread has enough to do with new turns
            self._has_more = await self.index_batch()

    async def index_batch(self) -> bool:
        """Index the next messages; return whether there may be more for this process."""
        if not await self._store.claim(INDEX_VERSION):
            return False
        texts = await self._store.next_texts(INDEX_VERSION, BATCH_SIZE)
        # One job a text: the texts of new turns, which the same thread indexes, wait for one only.
        terms = [await self._worker.run(_terms, text) for text in texts]
        await self._store.store(INDEX_VERSION, terms, texts[-1].id if texts else None)
        if not texts:
            log.debug("search_index_complete", version=INDEX_VERSION)
        return bool(texts)


def _terms(text: StoredText) -> IndexTerms:
    return IndexTerms(text, index_terms(text.content))
