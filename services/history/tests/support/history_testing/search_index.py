"""The search index of a running app."""

from history.database import Database
from history.search.postgres_reindexing import PostgresReindexingStore
from history.search.reindexing import Reindexer
from history.search.tokenizer import INDEX_VERSION
from history_testing.app import RunningHistory
from parley.process.worker_thread import worker_thread
from parley_testing import eventually

_IS_FINISHED = """
SELECT finished_at IS NOT NULL AND NOT EXISTS (SELECT FROM messages WHERE search IS NOT NULL)
FROM search_reindexing WHERE version = $1"""


async def reindex(history: RunningHistory) -> None:
    """Index all stored messages again. The task of the app may hold the claim for a while."""
    with worker_thread("index") as worker:
        reindexer = Reindexer(PostgresReindexingStore(Database(history.pool)), worker)

        async def is_finished() -> bool:
            while await reindexer.index_batch():
                pass
            return bool(await history.pool.fetchval(_IS_FINISHED, INDEX_VERSION))

        await eventually(is_finished, within=90)
