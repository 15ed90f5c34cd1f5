"""Intake of events in Postgres: one transaction stores events and their deliveries."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from parley.ids import new_id
from parley.storage.postgres import Connection
from webhooks.database import ERASURE_LOCK, Database
from webhooks.deliveries.body import blank_body, late_body
from webhooks.deliveries.model import ALWAYS_DELIVERED, NewEvent

_MATCHING = """
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) WITH ORDINALITY AS incoming (id, user_id, name, number)
JOIN webhooks AS w ON w.status <> 'disabled' AND (w.scope = 'all' OR w.user_id = incoming.user_id)
    AND '.' || incoming.name ~ ANY (w.name_patterns)
WHERE incoming.name = ANY ($4) OR NOT EXISTS (SELECT FROM user_tombstones AS t WHERE t.user_id = incoming.user_id)"""
_MATCH_ANY = f"SELECT EXISTS (SELECT {_MATCHING})"
# The lock on the webhook keeps it until its deliveries are stored.
_MATCHES = f"""
SELECT w.id AS webhook_id, incoming.id AS event_id {_MATCHING}
ORDER BY incoming.number, w.id FOR KEY SHARE OF w"""
_REDACTIONS = "SELECT turn_id, partition_key, untitled, kept FROM redactions WHERE partition_key = ANY ($1)"
_FORGOTTEN_UNTIL = "SELECT until FROM purged_redactions"
_INSERT_EVENTS = """
INSERT INTO events (id, user_id, name, version, partition_key, time, body)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::text[], $6::timestamptz[], $7::bytea[])
ON CONFLICT DO NOTHING"""
_INSERT_DELIVERIES = """
INSERT INTO deliveries (id, webhook_id, event_id, partition_key)
SELECT each.id, each.webhook_id, each.event_id, each.partition_key
FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[])
    WITH ORDINALITY AS each (id, webhook_id, event_id, partition_key, number)
ORDER BY each.number ON CONFLICT DO NOTHING RETURNING event_id"""


@dataclass(frozen=True, slots=True)
class TakenIn:
    """The events that webhooks want, and the number of new deliveries. An event that is repeated adds none."""

    wanted: Collection[UUID] = ()
    deliveries: int = 0


class PostgresIntake:
    """Stores deliveries. Repeating an event changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def matches_any(self, events: Sequence[NewEvent]) -> bool:
        """Return whether a webhook wants one of the events; it costs less than to find none with ``take_in``."""
        return bool(await self._database.value(_MATCH_ANY, *_matched(events)))

    async def take_in(self, events: Sequence[NewEvent]) -> TakenIn:
        """Store one delivery for each event and matching webhook, in order."""
        keys = {event.id: event.partition_key for event in events}
        async with self._database.transaction() as connection:
            await connection.execute(ERASURE_LOCK)
            matches = await connection.fetch(_MATCHES, *_matched(events))
            if not matches:
                return TakenIn()
            wanted = {match["event_id"] for match in matches}
            new = await _without_deleted(connection, [event for event in events if event.id in wanted])
            await connection.execute(_INSERT_EVENTS, *_columns(new))
            stored = await connection.fetch(
                _INSERT_DELIVERIES,
                [new_id() for _ in matches],
                [match["webhook_id"] for match in matches],
                [match["event_id"] for match in matches],
                [keys[match["event_id"]] for match in matches],
            )
        return TakenIn(wanted, len(stored))


async def _without_deleted(connection: Connection, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
    """Return the events without what was deleted before they arrived.

    Those from before a deletion that is forgotten have no texts, because theirs may have been deleted.
    """
    rows = await connection.fetch(_REDACTIONS, list({event.partition_key for event in events}))
    # After the deletions: one that is purged in between is forgotten by then.
    until = await connection.fetchval(_FORGOTTEN_UNTIL)
    if until is not None:
        events = [event if event.time > until else replace(event, body=blank_body(event.body)) for event in events]
    if not rows:
        return events
    kept = {str(row["turn_id"]): row["kept"] for row in rows}
    untitled = {row["partition_key"] for row in rows if row["untitled"]}
    return [
        replace(event, body=late_body(event.body, kept, untitled=event.partition_key in untitled)) for event in events
    ]


def _matched(events: Sequence[NewEvent]) -> tuple[list[object], ...]:
    return [e.id for e in events], [e.user_id for e in events], [e.name for e in events], list(ALWAYS_DELIVERED)


def _columns(events: Sequence[NewEvent]) -> list[list[object]]:
    rows = [(e.id, e.user_id, e.name, e.version, e.partition_key, e.time, e.body) for e in events]
    return [list(column) for column in zip(*rows, strict=True)]
