"""Access to the webhook database."""

from parley.storage.connection_queue import ConnectionQueue
from parley.storage.database import PostgresDatabase
from parley.storage.database import Row as Row  # noqa: PLC0414 - the stores import it from here
from parley.storage.postgres import Pool

_ERASURE_KEY = "hashtextextended('webhooks erasure', 0)"
EXCLUSIVE_ERASURE_LOCK = f"SELECT pg_advisory_xact_lock({_ERASURE_KEY})"
"""Held by an erasure; it waits for the transactions that hold ``ERASURE_LOCK``."""
ERASURE_LOCK = f"SELECT pg_advisory_xact_lock_shared({_ERASURE_KEY})"
"""Erasures wait until transactions that hold it are committed, and later ones see the tombstones of the erasures."""

NAMED_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""Held until the end of the transaction, by one transaction for each name."""


class Database(PostgresDatabase):
    """The webhook database."""

    def __init__(self, pool: Pool, queue: ConnectionQueue | None = None) -> None:
        super().__init__(pool, "The webhook database", queue=queue)
