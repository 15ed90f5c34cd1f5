"""Transactional outbox: events are written with the change they describe, and published later, at least once, in order.

Migrations: ``migrate(dsn, outbox.MIGRATIONS, "<service>")``.
"""

from typing import Any, Protocol
from uuid import UUID

import orjson

from parley.ids import new_id
from parley.observability.tracing import current_traceparent
from parley.storage.migrations import MigrationSource
from parley_events.models import EventData

MIGRATIONS = MigrationSource(name="parley.outbox", package="parley.messaging.outbox")

_APPEND = "SELECT outbox_append($1, $2, $3, $4, $5, $6)"


class Executor(Protocol):
    """A connection or pool of asyncpg."""

    async def fetchval(self, query: str, *args: Any) -> Any:
        """Run a query and return its first value."""
        ...


async def append(
    connection: Executor, name: str, data: EventData, *, subject: UUID | str, partition_key: str | None = None
) -> UUID:
    """Write an event to the outbox within the caller's transaction; return the event's ID.

    ``name`` is the type without prefix and version. ``partition_key`` defaults to the subject. The event keeps the
    trace context of the current span, if there is one.
    """
    if name not in data.names:
        raise ValueError(f"{type(data).__name__} is not the data of {name}.")
    event_id = new_id()
    body = orjson.Fragment(data.model_dump_json())
    key = partition_key or str(subject)
    await connection.fetchval(_APPEND, event_id, name, str(subject), key, body, current_traceparent())
    return event_id
