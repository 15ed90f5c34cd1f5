"""Concurrent changes of one account never deadlock."""

import asyncio
import secrets
from collections.abc import Sequence

import asyncpg
import pytest

from auth.accounts.model import User
from auth.api_keys.model import ApiKey
from auth.container import AuthStores
from auth.sessions.model import NewSession, SessionLimits
from auth.wiring import postgres_stores
from auth_testing.store_samples import ORIGIN, add_user, new_key, new_password, start_session
from parley.ids import new_id
from parley.messaging import outbox
from parley.storage import migrations
from parley.storage.postgres import open_pool
from parley_testing.backends.shared_servers import SharedBackends

pytestmark = pytest.mark.integration

ACCOUNTS = 12


async def migrate(dsn: str) -> None:
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")


async def account_with_keys(stores: AuthStores) -> tuple[User, list[ApiKey]]:
    """Add an account with three sessions and five API keys."""
    user = await add_user(stores)
    keys = [new_key(user) for _ in range(5)]
    for key in keys:
        digest = secrets.token_bytes(32)
        await stores.api_keys.add(key, digest, idempotency_key=None, fingerprint=b"", origin=ORIGIN)
    for _ in range(3):
        await start_session(stores, user)
    return user, keys


async def end_everything(stores: AuthStores, user: User, keys: Sequence[ApiKey]) -> None:
    """Delete the keys one by one while another request changes the password and then erases the account."""

    async def password_and_erasure() -> None:
        assert await new_password(stores, user)
        await start_session(stores, user)
        await stores.erasures.erase(user.id, secrets.token_urlsafe(), ORIGIN)

    async def keep_pushing() -> None:
        await stores.revocations.mark_pushed(await stores.revocations.live(None, 1000))
        await stores.revocations.purge()

    await asyncio.gather(
        password_and_erasure(),
        keep_pushing(),
        stores.sessions.end_all(user.id, "logout", ORIGIN),
        *(stores.api_keys.delete(user.id, key.id, ORIGIN) for key in keys),
    )


async def test_api_keys_sessions_passwords_and_erasures_never_deadlock(backends: SharedBackends) -> None:
    dsn = await backends.fresh_database(migrate, "auth")
    async with open_pool(dsn, size=20) as pool:
        stores = postgres_stores(pool, token_lifetime=900)
        accounts = [await account_with_keys(stores) for _ in range(ACCOUNTS)]
        for first in range(0, ACCOUNTS, 2):
            await asyncio.gather(*(end_everything(stores, user, keys) for user, keys in accounts[first : first + 2]))
    assert await deadlocks(dsn) == 0
    await backends.drop(dsn)


async def test_sessions_beyond_the_limit_never_deadlock(backends: SharedBackends) -> None:
    dsn = await backends.fresh_database(migrate, "auth")
    async with open_pool(dsn, size=20) as pool:
        stores, limited = (postgres_stores(pool, token_lifetime=900) for _ in range(2))
        limited.sessions.limits = SessionLimits(sessions=2)
        for _ in range(ACCOUNTS):
            user = await add_user(stores)
            sessions = [await start_session(stores, user) for _ in range(12)]
            new = NewSession(new_id(), user.id, "parley-web", user.scopes, secrets.token_bytes(32), 3600, 600)
            await asyncio.gather(
                limited.sessions.start(new, ORIGIN),
                *(stores.sessions.end(user.id, session.id, "logout", ORIGIN) for session in sessions),
            )
    assert await deadlocks(dsn) == 0
    await backends.drop(dsn)


async def deadlocks(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    count: int = await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    await connection.close()
    return count
