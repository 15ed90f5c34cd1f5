"""Opens everything auth needs, and closes it again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from auth.accounts.login import Login
from auth.accounts.plans import Plans, read_plans
from auth.accounts.ports import Users
from auth.accounts.service import Accounts
from auth.accounts.store import PostgresUsers
from auth.administration.service import Admin
from auth.api_keys.ports import ApiKeys
from auth.api_keys.service import ApiKeyService
from auth.api_keys.store import PostgresApiKeys
from auth.audit.ports import Audit
from auth.audit.store import PostgresAudit
from auth.database import Database
from auth.erasure.ports import Erasures
from auth.erasure.service import ErasureService
from auth.erasure.store import PostgresErasures
from auth.mail.smtp import SmtpMailer
from auth.password_resets.ports import Resets
from auth.password_resets.request_queue import ResetRequests
from auth.password_resets.service import ResetService
from auth.password_resets.store import PostgresResets
from auth.revocations.redis_cache import RedisFailureCounts, RedisRevocationMirror
from auth.revocations.service import LiveVerifier, Revocations
from auth.revocations.store import PostgresRevocations, Revoker
from auth.security.encryption import Sealer, derive
from auth.security.login_throttle import LocalCounts, Throttle
from auth.security.password_hashing import HashCost, PasswordHasher, default_workers
from auth.security.password_policy import PasswordPolicy, common_passwords
from auth.sessions.ports import Sessions
from auth.sessions.service import Devices
from auth.sessions.store import PostgresSessions
from auth.settings import AuthSettings, Network
from auth.signing_keys.key_ring import KeyRing, RotationRules
from auth.signing_keys.store import PostgresSigningKeys
from auth.tokens.grants import Grants, SessionRules
from auth.tokens.introspection import TokenInfo
from auth.tokens.token_issuer import Minter
from auth.web.cursors import Cursors
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

MAINTENANCE = 60.0
ASK_AGAIN_AFTER = 600.0
OWN_KEYS_LIFETIME = 1.0


@dataclass(frozen=True, slots=True)
class Stores:
    """What is kept in Postgres."""

    users: Users
    sessions: Sessions
    api_keys: ApiKeys
    erasures: Erasures
    resets: Resets
    audit: Audit
    revocations: PostgresRevocations


@dataclass(frozen=True, slots=True)
class Wired:
    """What the API finds in ``app.state.wired``."""

    verifier: LiveVerifier
    keys: KeyRing
    proxies: tuple[Network, ...]
    cursors: Cursors
    stores: Stores
    accounts: Accounts
    grants: Grants
    token_info: TokenInfo
    revocations: Revocations
    devices: Devices
    api_keys: ApiKeyService
    admin: Admin
    resets: ResetService
    erasures: ErasureService
    reset_requests: ResetRequests | None = None
    """None where no mail can be sent."""


@contextlib.asynccontextmanager
async def wire(
    settings: AuthSettings, runtime: Runtime, *, bus: Bus | None = None, hash_cost: HashCost | None = None
) -> AsyncIterator[Wired]:
    """Open auth: database, Redis, keys and background work; another ``hash_cost`` is for hasty tests."""
    plans = read_plans(settings.plans_file)
    async with contextlib.AsyncExitStack() as stack:
        backing = await stack.enter_async_context(open_infrastructure(settings, runtime, bus=bus))
        wired = await stack.enter_async_context(_assembled(settings, backing.pool, backing.redis, plans, hash_cost))
        requests = stack.enter_context(_open_requests(settings, wired.stores.resets))
        wired = replace(wired, reset_requests=requests)
        await stack.enter_async_context(backing.bus.consume(wired.erasures.subscription()))
        for name, loop in _loops(settings, wired).items():
            await stack.enter_async_context(background(name, loop, service=runtime.service))
        yield wired


@contextlib.contextmanager
def _open_requests(settings: AuthSettings, resets: Resets) -> Iterator[ResetRequests | None]:
    if settings.smtp_url is None or settings.smtp_from is None:
        yield None
        return
    with contextlib.closing(SmtpMailer(settings.smtp_url.get_secret_value(), settings.smtp_from)) as mailer:
        yield ResetRequests(resets, mailer, url=settings.reset_page())


@contextlib.asynccontextmanager
async def open_offline(settings: AuthSettings) -> AsyncIterator[Wired]:
    """Open auth without serving, for the command line: no bus and no background work."""
    dsn = settings.database_url.get_secret_value()
    await migrations.migrate(dsn, outbox.MIGRATIONS, "auth")
    async with (
        open_pool(dsn, size=2, application="parley-auth-cli") as pool,
        open_redis(settings.redis_url.get_secret_value()) as redis,
        _assembled(settings, pool, redis, read_plans(settings.plans_file)) as wired,
    ):
        yield wired


@contextlib.asynccontextmanager
async def _assembled(
    settings: AuthSettings, pool: Pool, redis: RedisClient, plans: Plans, hash_cost: HashCost | None = None
) -> AsyncIterator[Wired]:
    keys = await _start_keys(settings, pool)
    hasher = PasswordHasher(workers=default_workers(), queue=settings.password_queue, cost=hash_cost)
    try:
        await hasher.dummy()
        yield _assemble(settings, pool, redis, keys, hasher, plans)
    finally:
        hasher.close()


async def _start_keys(settings: AuthSettings, pool: Pool) -> KeyRing:
    rules = RotationRules(
        settings.signing_key_publish_ahead, settings.signing_key_max_age, settings.access_token_lifetime
    )
    sealer = Sealer(derive(settings.secret_key(), "signing keys"))
    keys = KeyRing(PostgresSigningKeys(Database(pool)), sealer, rules)
    await keys.start()
    return keys


def _stores(settings: AuthSettings, pool: Pool) -> Stores:
    database, revoker = Database(pool), Revoker(settings.access_token_lifetime)
    return Stores(
        users=PostgresUsers(database, revoker),
        sessions=PostgresSessions(database, revoker),
        api_keys=PostgresApiKeys(database, revoker),
        erasures=PostgresErasures(database, revoker),
        resets=PostgresResets(database, revoker),
        audit=PostgresAudit(database),
        revocations=PostgresRevocations(database),
    )


def _assemble(
    settings: AuthSettings, pool: Pool, redis: RedisClient, keys: KeyRing, hasher: PasswordHasher, plans: Plans
) -> Wired:
    stores, secret = _stores(settings, pool), settings.secret_key()
    revocations = Revocations(stores.revocations, RedisRevocationMirror(redis))
    verifier = LiveVerifier(_own_verifier(settings, keys), revocations)
    login = Login(stores.users, hasher, Throttle(RedisFailureCounts(redis), LocalCounts()))
    policy = PasswordPolicy(settings.password_min_length, common_passwords())
    minter = Minter(keys, plans, issuer=settings.issuer(), lifetime=settings.access_token_lifetime)
    return Wired(
        verifier=verifier,
        keys=keys,
        proxies=settings.proxies(),
        cursors=Cursors(derive(secret, "cursors")),
        stores=stores,
        revocations=revocations,
        accounts=Accounts(
            users=stores.users,
            hasher=hasher,
            policy=policy,
            login=login,
            revocations=revocations,
            registration_open=settings.registration == "open",
        ),
        grants=Grants(
            login=login,
            sessions=stores.sessions,
            api_keys=stores.api_keys,
            minter=minter,
            revocations=revocations,
            rules=_session_rules(settings),
            clients=settings.clients(),
        ),
        token_info=TokenInfo(verifier, stores.sessions, stores.users, revocations, issuer=settings.issuer()),
        devices=Devices(stores.sessions, revocations),
        api_keys=ApiKeyService(stores.api_keys, revocations),
        admin=Admin(stores.users, stores.sessions, stores.audit, revocations, plans),
        resets=ResetService(stores.resets, hasher, policy, revocations),
        erasures=ErasureService(stores.erasures, revocations),
    )


def _session_rules(settings: AuthSettings) -> SessionRules:
    return SessionRules(
        lifetime=settings.refresh_token_lifetime,
        idle_lifetime=settings.refresh_idle_lifetime,
        reuse_window=settings.refresh_reuse_window,
        successor_key=derive(settings.secret_key(), "refresh successors"),
    )


def _own_verifier(settings: AuthSettings, keys: KeyRing) -> TokenVerifier:
    """Auth has the keys at hand: no request to itself, and no unknown key."""

    async def fetch() -> Mapping[str, Any]:
        return keys.jwks()

    return TokenVerifier(
        KeySet(fetch, lifetime=OWN_KEYS_LIFETIME, cooldown=OWN_KEYS_LIFETIME), issuer=settings.issuer()
    )


def _loops(settings: AuthSettings, wired: Wired) -> dict[str, Any]:
    async def maintain() -> None:
        while True:
            await wired.stores.sessions.purge()
            await wired.stores.revocations.purge()
            await wired.stores.erasures.ask_again(after=ASK_AGAIN_AFTER)
            await asyncio.sleep(MAINTENANCE)

    found = {
        "signing keys": lambda: wired.keys.watch(settings.signing_key_poll),
        "revocations": wired.revocations.watch,
        "maintenance": maintain,
    }
    return found | ({"password resets": wired.reset_requests.deliver} if wired.reset_requests else {})
