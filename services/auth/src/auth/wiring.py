"""Wiring of auth: opens connections, builds the services and starts the background tasks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace

from auth.accounts.plans import Plans, load_plans
from auth.accounts.postgres import PostgresAccountStore
from auth.api_keys.postgres import PostgresApiKeyStore
from auth.audit.postgres import PostgresAuditLog
from auth.container import AuthServices, AuthStores, build_services
from auth.database import AccountDatabase
from auth.email_verification.postgres import PostgresEmailVerificationStore
from auth.erasure.postgres import PostgresErasureStore
from auth.mail.mail_queue import MailQueue
from auth.mail.mailer import Mailer
from auth.mail.smtp import SmtpMailer
from auth.password_resets.postgres import PostgresPasswordResetStore
from auth.password_resets.request_queue import ResetRequestQueue
from auth.revocations.postgres import PostgresRevocationStore, Revoker
from auth.revocations.redis_cache import RedisRevocationCache
from auth.security.password_hashing import PasswordHasher, default_workers
from auth.security.redis_login_failures import RedisFailureCounter
from auth.sessions.postgres import PostgresSessionStore
from auth.settings import AuthSettings
from auth.signing_keys.key_ring import KeyRing, KeyRotationPolicy
from auth.signing_keys.postgres import PostgresSigningKeyStore
from parley.infrastructure import open_infrastructure
from parley.messaging import outbox
from parley.messaging.bus import Bus
from parley.messaging.outbox.store import purge as purge_events
from parley.process.loop_steps import run_batches, run_step
from parley.process.tasks import background
from parley.security.encryption import SecretCipher, derive_key
from parley.storage import migrations
from parley.storage.connection_queue import ConnectionQueue
from parley.storage.postgres import Pool, open_pool
from parley.storage.redis import RedisClient, open_redis
from parley.web.runtime import Runtime

MAINTENANCE_INTERVAL = 60.0
ERASURE_REPUBLISH_AFTER, MAX_ERASURE_REPUBLISH_INTERVAL = 60.0, 600.0
"""Seconds until an erasure that a service has not confirmed is published again: at first, and at most."""
EVENT_RETENTION = 86_400.0
"""Seconds for which published events stay in the outbox."""


@contextlib.asynccontextmanager
async def wire(settings: AuthSettings, runtime: Runtime, *, bus: Bus | None = None) -> AsyncIterator[AuthServices]:
    """Open auth; ``bus`` is given if several services share a process."""
    with open_hasher(settings) as hasher:
        async with open_services(settings, runtime, hasher, bus=bus) as services:
            yield services


@contextlib.contextmanager
def open_hasher(settings: AuthSettings) -> Iterator[PasswordHasher]:
    """Open the thread pool that hashes passwords."""
    with contextlib.closing(PasswordHasher(workers=default_workers(), queue=settings.password_queue)) as hasher:
        yield hasher


@contextlib.asynccontextmanager
async def open_services(
    settings: AuthSettings, runtime: Runtime, hasher: PasswordHasher, *, bus: Bus | None = None
) -> AsyncIterator[AuthServices]:
    """Open connections and services, and run the background tasks."""
    plans = load_plans(settings.plans_file)
    async with contextlib.AsyncExitStack() as stack:
        infrastructure = await stack.enter_async_context(
            open_infrastructure(settings, runtime, bus=bus, preload_keys=False)
        )
        mailer = stack.enter_context(_open_mailer(settings))
        mail = MailQueue(mailer) if mailer else None
        stores = postgres_stores(infrastructure.pool, settings.access_token_lifetime, infrastructure.queue)
        keys = await infrastructure.startup.run(lambda: _start_keys(settings, infrastructure.pool))
        services = await _build(settings, stores, keys, infrastructure.redis, hasher, plans, mail)
        if mailer and mail:
            await stack.enter_async_context(background("mail", mail.deliver, service=runtime.service))
            resets = ResetRequestQueue(services.stores.password_resets, mailer, url=settings.reset_page())
            services = replace(services, reset_queue=resets)
        await stack.enter_async_context(infrastructure.bus.consume(services.erasures.subscription()))
        for name, loop in _loops(settings, services, infrastructure.pool).items():
            await stack.enter_async_context(background(name, loop, service=runtime.service))
        yield services


@contextlib.contextmanager
def _open_mailer(settings: AuthSettings) -> Iterator[Mailer | None]:
    if settings.smtp_url is None or settings.smtp_from is None:
        yield None
        return
    with contextlib.closing(SmtpMailer(settings.smtp_url.get_secret_value(), settings.smtp_from)) as mailer:
        yield mailer


@contextlib.asynccontextmanager
async def open_offline(settings: AuthSettings) -> AsyncIterator[AuthServices]:
    """Open the services for the command line, without a bus and without background tasks."""
    dsn = settings.database_url.get_secret_value()
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")
    async with (
        open_pool(dsn, size=2, application="parley-auth-cli") as pool,
        open_redis(settings.redis_url.get_secret_value()) as redis,
    ):
        with open_hasher(settings) as hasher:
            stores, keys = postgres_stores(pool, settings.access_token_lifetime), await _start_keys(settings, pool)
            yield await _build(settings, stores, keys, redis, hasher, load_plans(settings.plans_file))


async def delete_signing_keys(dsn: str) -> None:
    """Delete every stored signing key, for when the key that encrypts them is lost.

    Every access token becomes invalid, and the next start creates a signing key.
    """
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")
    async with open_pool(dsn, size=1, application="parley-auth-cli") as pool:
        await PostgresSigningKeyStore(AccountDatabase(pool)).delete_all()


async def _start_keys(settings: AuthSettings, pool: Pool) -> KeyRing:
    policy = KeyRotationPolicy(
        settings.signing_key_publish_ahead, settings.signing_key_max_age, settings.access_token_lifetime
    )
    cipher = SecretCipher(derive_key(settings.secret_key(), "signing keys"))
    keys = KeyRing(PostgresSigningKeyStore(AccountDatabase(pool)), cipher, policy)
    await keys.start()
    return keys


def postgres_stores(pool: Pool, token_lifetime: int, queue: ConnectionQueue | None = None) -> AuthStores:
    """Return the stores over a pool; ``token_lifetime`` is the lifetime of access tokens in seconds."""
    database, revoker = AccountDatabase(pool, queue), Revoker(token_lifetime)
    return AuthStores(
        accounts=PostgresAccountStore(database, revoker),
        sessions=PostgresSessionStore(database, revoker),
        api_keys=PostgresApiKeyStore(database, revoker),
        erasures=PostgresErasureStore(database, revoker),
        password_resets=PostgresPasswordResetStore(database, revoker),
        email_verifications=PostgresEmailVerificationStore(database),
        audit=PostgresAuditLog(database),
        revocations=PostgresRevocationStore(database),
    )


async def _build(
    settings: AuthSettings,
    stores: AuthStores,
    keys: KeyRing,
    redis: RedisClient,
    hasher: PasswordHasher,
    plans: Plans,
    mail: MailQueue | None = None,
) -> AuthServices:
    await hasher.dummy()
    return build_services(
        settings,
        stores=stores,
        keys=keys,
        hasher=hasher,
        failures=RedisFailureCounter(redis),
        revocation_cache=RedisRevocationCache(redis),
        plans=plans,
        mail=mail,
    )


async def _purge_events(database: AccountDatabase) -> int:
    async with database.connection() as connection:
        return await purge_events(connection, retention=EVENT_RETENTION, confirmed_only=False)


def _loops(settings: AuthSettings, services: AuthServices, pool: Pool) -> dict[str, Callable[[], Awaitable[None]]]:
    database = AccountDatabase(pool)

    def republish_erasures() -> Awaitable[int]:
        return services.stores.erasures.republish_pending(
            after=ERASURE_REPUBLISH_AFTER, at_most=MAX_ERASURE_REPUBLISH_INTERVAL
        )

    def purge_audit() -> Awaitable[int]:
        return services.stores.audit.purge(settings.audit_retention_days)

    async def maintain() -> None:
        while True:
            await run_step("erasures", republish_erasures)
            await run_step("purge of sessions", lambda: run_batches(services.stores.sessions.purge))
            await run_step("purge of revocations", lambda: run_batches(services.stores.revocations.purge))
            await run_step("purge of the audit log", lambda: run_batches(purge_audit))
            await run_step("purge of events", lambda: run_batches(lambda: _purge_events(database)))
            await asyncio.sleep(MAINTENANCE_INTERVAL)

    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "signing keys": lambda: services.keys.watch(settings.signing_key_poll),
        "revocations": services.revocations.watch,
        "maintenance": maintain,
    }
    if services.reset_queue is not None:
        loops["password resets"] = services.reset_queue.deliver
    return loops
