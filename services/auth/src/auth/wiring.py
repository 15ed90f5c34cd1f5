"""Wiring of auth: opens connections, builds the services and starts the background tasks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auth.accounts.login import LoginService
from auth.accounts.plans import Plans, read_plans
from auth.accounts.postgres import PostgresAccountStore
from auth.accounts.service import AccountService
from auth.accounts.store import AccountStore
from auth.administration.operator import OperatorService
from auth.administration.service import AdminService
from auth.api_keys.postgres import PostgresApiKeyStore
from auth.api_keys.service import ApiKeyService
from auth.api_keys.store import ApiKeyStore
from auth.audit.postgres import PostgresAuditLog
from auth.audit.store import AuditLog
from auth.database import AccountDatabase
from auth.erasure.postgres import PostgresErasureStore
from auth.erasure.service import ErasureService
from auth.erasure.store import AccountErasureStore
from auth.mail.smtp import SmtpMailer
from auth.password_resets.postgres import PostgresPasswordResetStore
from auth.password_resets.request_queue import ResetRequestQueue
from auth.password_resets.service import PasswordResetService
from auth.password_resets.store import PasswordResetStore
from auth.revocations.postgres import PostgresRevocationStore, Revoker
from auth.revocations.redis_cache import RedisRevocationCache
from auth.revocations.service import RevocationService
from auth.revocations.store import RevocationStore
from auth.revocations.verifier import RevocationCheckingVerifier
from auth.security.encryption import SecretCipher, derive_key
from auth.security.login_failures import MemoryFailureCounter
from auth.security.login_throttle import LoginThrottle
from auth.security.password_hashing import PasswordHasher, default_workers
from auth.security.password_policy import PasswordPolicy, common_passwords
from auth.security.redis_login_failures import RedisFailureCounter
from auth.sessions.postgres import PostgresSessionStore
from auth.sessions.service import SessionService
from auth.sessions.store import SessionStore
from auth.settings import AuthSettings
from auth.signing_keys.key_ring import KeyRing, KeyRotationPolicy
from auth.signing_keys.postgres import PostgresSigningKeyStore
from auth.tokens.grants import GrantService, SessionLifetimes
from auth.tokens.introspection import TokenInspector
from auth.tokens.revocation import TokenRevoker
from auth.tokens.token_issuer import TokenIssuer
from auth.web.origin import OriginResolver
from auth.web.pagination import CursorCodec
from parley.infrastructure import open_infrastructure
from parley.messaging import outbox
from parley.messaging.bus import Bus
from parley.process.tasks import background
from parley.security.jwks import KeySet
from parley.security.tokens import TokenVerifier
from parley.storage import migrations
from parley.storage.postgres import Pool, open_pool
from parley.storage.redis import RedisClient, open_redis
from parley.web.runtime import Runtime

MAINTENANCE_INTERVAL = 60.0
ERASURE_REPUBLISH_INTERVAL = 600.0
OWN_KEYS_LIFETIME = 1.0


@dataclass(frozen=True, slots=True)
class AuthStores:
    """The stores of auth."""

    accounts: AccountStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    erasures: AccountErasureStore
    password_resets: PasswordResetStore
    audit: AuditLog
    revocations: RevocationStore


@dataclass(frozen=True, slots=True)
class AuthServices:
    """The services that routes find by their class (see ``auth.web.dependencies.provide``)."""

    verifier: RevocationCheckingVerifier
    keys: KeyRing
    origins: OriginResolver
    cursors: CursorCodec
    stores: AuthStores
    accounts: AccountService
    grants: GrantService
    inspector: TokenInspector
    revoker: TokenRevoker
    revocations: RevocationService
    sessions: SessionService
    api_keys: ApiKeyService
    administration: AdminService
    operator: OperatorService
    password_resets: PasswordResetService
    erasures: ErasureService
    reset_queue: ResetRequestQueue | None = None
    """None unless `SMTP_URL` is set."""


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
    plans = read_plans(settings.plans_file)
    async with contextlib.AsyncExitStack() as stack:
        infrastructure = await stack.enter_async_context(open_infrastructure(settings, runtime, bus=bus))
        services = await _assemble(settings, infrastructure.pool, infrastructure.redis, hasher, plans)
        queue = stack.enter_context(_open_reset_queue(settings, services.stores.password_resets))
        services = replace(services, reset_queue=queue)
        await stack.enter_async_context(infrastructure.bus.consume(services.erasures.subscription()))
        for name, loop in _loops(settings, services).items():
            await stack.enter_async_context(background(name, loop, service=runtime.service))
        yield services


@contextlib.contextmanager
def _open_reset_queue(settings: AuthSettings, resets: PasswordResetStore) -> Iterator[ResetRequestQueue | None]:
    if settings.smtp_url is None or settings.smtp_from is None:
        yield None
        return
    with contextlib.closing(SmtpMailer(settings.smtp_url.get_secret_value(), settings.smtp_from)) as mailer:
        yield ResetRequestQueue(resets, mailer, url=settings.reset_page())


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
            yield await _assemble(settings, pool, redis, hasher, read_plans(settings.plans_file))


async def _start_keys(settings: AuthSettings, pool: Pool) -> KeyRing:
    policy = KeyRotationPolicy(
        settings.signing_key_publish_ahead, settings.signing_key_max_age, settings.access_token_lifetime
    )
    cipher = SecretCipher(derive_key(settings.secret_key(), "signing keys"))
    keys = KeyRing(PostgresSigningKeyStore(AccountDatabase(pool)), cipher, policy)
    await keys.start()
    return keys


def _stores(settings: AuthSettings, pool: Pool) -> AuthStores:
    database, revoker = AccountDatabase(pool), Revoker(settings.access_token_lifetime)
    return AuthStores(
        accounts=PostgresAccountStore(database, revoker),
        sessions=PostgresSessionStore(database, revoker),
        api_keys=PostgresApiKeyStore(database, revoker),
        erasures=PostgresErasureStore(database, revoker),
        password_resets=PostgresPasswordResetStore(database, revoker),
        audit=PostgresAuditLog(database),
        revocations=PostgresRevocationStore(database),
    )


async def _assemble(
    settings: AuthSettings, pool: Pool, redis: RedisClient, hasher: PasswordHasher, plans: Plans
) -> AuthServices:
    await hasher.dummy()
    keys, stores, secret = await _start_keys(settings, pool), _stores(settings, pool), settings.secret_key()
    revocations = RevocationService(stores.revocations, RedisRevocationCache(redis))
    verifier = RevocationCheckingVerifier(_own_verifier(settings, keys), revocations)
    login = LoginService(stores.accounts, hasher, LoginThrottle(RedisFailureCounter(redis), MemoryFailureCounter()))
    policy = PasswordPolicy(settings.password_min_length, common_passwords())
    accounts = AccountService(
        accounts=stores.accounts,
        hasher=hasher,
        policy=policy,
        login=login,
        revocations=revocations,
        registration_open=settings.registration == "open",
    )
    grants = GrantService(
        login=login,
        sessions=stores.sessions,
        api_keys=stores.api_keys,
        issuer=TokenIssuer(keys, plans, issuer=settings.issuer(), lifetime=settings.access_token_lifetime),
        revocations=revocations,
        lifetimes=_session_lifetimes(settings),
        clients=settings.clients(),
    )
    resets = PasswordResetService(stores.password_resets, hasher, policy, revocations)
    return AuthServices(
        verifier=verifier,
        keys=keys,
        origins=OriginResolver(settings.proxies()),
        cursors=CursorCodec(derive_key(secret, "cursors")),
        stores=stores,
        accounts=accounts,
        grants=grants,
        inspector=TokenInspector(verifier, stores.accounts, issuer=settings.issuer()),
        revoker=TokenRevoker(verifier, stores.sessions, revocations),
        revocations=revocations,
        sessions=SessionService(stores.sessions, revocations),
        api_keys=ApiKeyService(stores.api_keys, revocations),
        administration=AdminService(stores.accounts, stores.sessions, stores.audit, revocations, plans),
        operator=OperatorService(stores.accounts, accounts, resets, keys),
        password_resets=resets,
        erasures=ErasureService(stores.erasures, revocations),
    )


def _session_lifetimes(settings: AuthSettings) -> SessionLifetimes:
    return SessionLifetimes(
        lifetime=settings.refresh_token_lifetime,
        idle_lifetime=settings.refresh_idle_lifetime,
        reuse_window=settings.refresh_reuse_window,
        successor_key=derive_key(settings.secret_key(), "refresh successors"),
    )


def _own_verifier(settings: AuthSettings, keys: KeyRing) -> TokenVerifier:
    """Return a verifier that reads the JWKS from the key ring instead of over HTTP."""

    async def fetch() -> Mapping[str, Any]:
        return keys.jwks()

    return TokenVerifier(
        KeySet(fetch, lifetime=OWN_KEYS_LIFETIME, cooldown=OWN_KEYS_LIFETIME), issuer=settings.issuer()
    )


def _loops(settings: AuthSettings, services: AuthServices) -> dict[str, Callable[[], Awaitable[None]]]:
    async def maintain() -> None:
        while True:
            await services.stores.sessions.purge()
            await services.stores.revocations.purge()
            await services.stores.erasures.republish_pending(after=ERASURE_REPUBLISH_INTERVAL)
            await asyncio.sleep(MAINTENANCE_INTERVAL)

    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "signing keys": lambda: services.keys.watch(settings.signing_key_poll),
        "revocations": services.revocations.watch,
        "maintenance": maintain,
    }
    if services.reset_queue is not None:
        loops["password resets"] = services.reset_queue.deliver
    return loops
