"""Checks of a service's Postgres database."""

import time

import asyncpg

from parley.messaging import outbox
from parley.storage import migrations
from parley_cli.diagnosis.clocks import check_clock, now
from parley_cli.diagnosis.findings import Finding, fault, warning
from parley_cli.diagnosis.probes import CALL_TIMEOUT, Unreachable, reason

MAX_LATENCY_MS = 250.0
MAX_OUTBOX_AGE = 120.0
"""Seconds, as in the alert."""
_STATE = """
SELECT current_setting('server_version') AS version, current_setting('transaction_read_only') = 'on' AS read_only,
    extract(epoch FROM clock_timestamp())::float8 AS clock, pg_database_size(current_database()) AS size,
    to_regclass('schema_migrations') IS NOT NULL AS migrated"""
_OUTBOX = """
SELECT count(*) AS pending, extract(epoch FROM now() - min(time))::float8 AS age FROM outbox WHERE sent_at IS NULL"""


async def check_postgres(target: str, dsn: str, service: str) -> list[Finding]:
    """Check that the database is reachable, writable, migrated and quick, and that no event waits for long."""
    connection = await _connect(dsn)
    try:
        asked, began = now(), time.perf_counter()
        state = await connection.fetchrow(_STATE)
        latency = (time.perf_counter() - began) * 1000
        assert state is not None
        found = [_server(target, state, latency), check_clock(target, state["clock"], asked=asked, answered=now())]
        if state["migrated"]:
            rows = await connection.fetch("SELECT source, number, digest FROM schema_migrations")
            applied = {(row["source"], row["number"]): str(row["digest"]) for row in rows}
            return [*found, check_migrations(target, applied, service), _outbox(target, await _backlog(connection))]
        return [*found, fault(target, "migrations", "migrations_missing", "No migration was applied.")]
    finally:
        connection.terminate()


async def _connect(dsn: str) -> "asyncpg.Connection[asyncpg.Record]":
    try:
        return await asyncpg.connect(dsn, timeout=CALL_TIMEOUT)
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.InsufficientPrivilegeError,
    ) as error:
        raise Unreachable("postgres_refused", f"Postgres refuses the login ({type(error).__name__}).") from None
    except asyncpg.PostgresError as error:
        raise Unreachable("postgres_unreachable", f"Postgres is not available ({type(error).__name__}).") from None
    except (OSError, asyncpg.InterfaceError, ValueError) as error:
        raise Unreachable("postgres_unreachable", f"Not reachable: {reason(error)}.") from None


def _server(target: str, state: "asyncpg.Record", latency: float) -> Finding:
    text = f"PostgreSQL {state['version'].partition(' ')[0]}, {latency:.1f} ms, {state['size'] / 1e6:.0f} MB."
    facts = {
        "version": state["version"],
        "latency_ms": round(latency, 1),
        "writable": not state["read_only"],
        "size_bytes": state["size"],
    }
    if state["read_only"]:
        return fault(target, "server", "postgres_read_only", f"{text} It is read-only.", **facts)
    if latency > MAX_LATENCY_MS:
        return warning(target, "server", "postgres_slow", text, **facts)
    return Finding(target, "server", text, facts=facts)


def check_migrations(target: str, applied: dict[tuple[str, int], str], service: str) -> Finding:
    """Compare the applied migrations with the files of this release."""
    wanted = {
        (m.source, m.number): m.digest for source in (outbox.MIGRATIONS, service) for m in migrations.read(source)
    }
    pending, ahead = sorted(wanted.keys() - applied.keys()), sorted(applied.keys() - wanted.keys())
    changed = sorted(key for key in wanted.keys() & applied.keys() if wanted[key] != applied[key])
    facts = {
        name: [f"{source} {number:04}" for source, number in keys]
        for name, keys in (("pending", pending), ("ahead", ahead), ("changed", changed))
    }
    if changed:
        names = ", ".join(facts["changed"])
        return fault(target, "migrations", "migrations_changed", f"Applied with other contents: {names}.", **facts)
    if pending:
        names = ", ".join(facts["pending"])
        return fault(target, "migrations", "migrations_pending", f"Not applied: {names}.", **facts)
    if ahead:
        names = ", ".join(facts["ahead"])
        return warning(target, "migrations", "migrations_ahead", f"Unknown to this release: {names}.", **facts)
    return Finding(target, "migrations", f"All {len(wanted)} migrations are applied.", facts=facts)


async def _backlog(connection: "asyncpg.Connection[asyncpg.Record]") -> tuple[int, float]:
    row = await connection.fetchrow(_OUTBOX)
    return (row["pending"], float(row["age"] or 0)) if row else (0, 0.0)


def _outbox(target: str, backlog: tuple[int, float]) -> Finding:
    pending, age = backlog
    facts = {"pending": pending, "oldest_age_s": round(age, 1)}
    text = f"{pending} events wait in the outbox" + (f", the oldest for {age:.0f} s." if pending else ".")
    if age > MAX_OUTBOX_AGE:
        return fault(target, "outbox", "outbox_old", text, **facts)
    return Finding(target, "outbox", text, facts=facts)
