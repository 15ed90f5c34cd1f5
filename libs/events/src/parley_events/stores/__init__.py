"""Idempotency stores: each event is handled once, in the transaction of the handler.

Choose the module of your database: ``sqlite``, ``postgres`` (extra `postgres`) or ``redis`` (extra `redis`).
"""

from datetime import timedelta

KEPT_FOR = timedelta(days=14)
"""How long the IDs of handled events are kept: longer than Parley's event log keeps the events."""
FORGET_BATCH = 10_000
"""IDs that one statement deletes: a busy subscriber has millions of a day."""
