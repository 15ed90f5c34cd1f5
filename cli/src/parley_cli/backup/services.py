"""Services whose databases are backed up, and the migrations of each."""

from collections.abc import Sequence

from parley.messaging import outbox
from parley.storage.migrations import MigrationSource

SERVICES = ("webhooks", "history", "chat", "auth")
"""In the order of their snapshots. History follows chat, so its snapshot is the earlier one: what it then lacks is
published again, for history and for webhooks. Auth is last, so that each person of the other databases has an
account."""
AFTER_RESTORE = "after_restore.sql"
"""File of a package with statements that bring restored rows up to date with the other databases."""


def migration_sources(service: str) -> Sequence[MigrationSource]:
    """Return the packages whose migrations make the schema of a service."""
    return outbox.MIGRATIONS, MigrationSource(service, service)


def in_order(services: Sequence[str]) -> list[str]:
    """Return the services in the order of their snapshots."""
    return [service for service in SERVICES if service in services]
