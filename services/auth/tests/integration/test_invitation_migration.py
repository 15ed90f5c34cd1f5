"""Invitations that were disabled before the database noted them."""

import secrets
from uuid import UUID

import asyncpg
import pytest

from auth.audit import postgres as audit
from auth.audit.model import OPERATOR, RequestOrigin
from parley.ids import new_id
from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import Connection, set_json_codecs
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

NOTED_SINCE = 6
_DISABLED_USER = """
INSERT INTO users (id, username, username_key, scopes, password_hash, status)
VALUES ($1, $2, $2, '{}', 'hash', 'disabled')"""


async def _migrate_before(dsn: str) -> None:
    await migrations.migrate(
        dsn, outbox.MIGRATIONS, "auth", wanted=lambda each: each.source != "auth" or each.number < NOTED_SINCE
    )


async def disabled_account(connection: Connection, creator: RequestOrigin, *, invited: bool) -> UUID:
    """Store a disabled account as an earlier version left it, with its entries of the audit log."""
    user_id, name = new_id(), secrets.token_hex(6)
    await connection.execute(_DISABLED_USER, user_id, name)
    await audit.record(connection, "user.registered", creator, user_id)
    if invited:
        await audit.record(connection, "password_reset.issued", creator, user_id)
    return user_id


async def test_an_invitation_that_was_disabled_before_the_update_is_noted(backends: SharedBackends) -> None:
    dsn = await backends.fresh_database(_migrate_before, "auth before noted invitations")
    connection = await asyncpg.connect(dsn)
    try:
        await set_json_codecs(connection)
        admin = RequestOrigin("user", new_id())
        by_operator = await disabled_account(connection, OPERATOR, invited=True)
        by_admin = await disabled_account(connection, admin, invited=True)
        registered = await disabled_account(connection, RequestOrigin(), invited=False)
        await audit.record(connection, "password_reset.issued", admin, registered)
        accepted = await disabled_account(connection, OPERATOR, invited=True)
        await connection.execute("INSERT INTO password_times (user_id) VALUES ($1)", accepted)
        used = await disabled_account(connection, OPERATOR, invited=True)
        await connection.execute("UPDATE users SET last_login_at = now() WHERE id = $1", used)
        await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")
        noted = await connection.fetch("SELECT user_id FROM disabled_invitations")
        assert {row["user_id"] for row in noted} == {by_operator, by_admin}
    finally:
        await connection.close()
        await backends.drop(dsn)
