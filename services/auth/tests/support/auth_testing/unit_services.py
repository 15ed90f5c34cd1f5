"""The services of auth over in-memory stores, with a clock that tests move."""

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from auth.accounts.model import User
from auth.accounts.plans import load_plans
from auth.audit.model import RequestOrigin
from auth.container import AuthServices, build_services
from auth.mail.mail_queue import MailQueue
from auth.mail.mailer import MailDeliveryError
from auth.security.login_failures import FailureCount, MemoryFailureCounter
from auth.security.password_hashing import HashCost, PasswordHasher
from auth.security.scopes import DEFAULT_SCOPES
from auth.settings import AuthSettings
from auth.signing_keys.key_ring import KeyRing, KeyRotationPolicy
from auth.tokens.grants import TokenGrant, TokenRequest
from auth_testing.app import GATEWAY_SECRET, PASSWORD
from auth_testing.memory_database import MemoryDatabase
from auth_testing.memory_revocations import MemoryRevocationCache
from auth_testing.memory_signing_keys import MemorySigningKeyStore
from auth_testing.memory_stores import memory_stores
from parley.config.settings import load
from parley.errors import DependencyUnavailable
from parley.security.encryption import SecretCipher
from parley.security.identity import Principal

FAST_HASH = HashCost(memory_kib=8, iterations=1)
HERE = RequestOrigin("anonymous", None, "203.0.113.7")
ELSEWHERE = RequestOrigin("anonymous", None, "198.51.100.9")
POLICY = KeyRotationPolicy(publish_ahead=360, max_age=90 * 86_400, token_lifetime=900)


@dataclass
class StoreClock:
    """The time of the stores; real time plus what a test has skipped."""

    skipped: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.skipped

    def forward(self, seconds: float) -> None:
        self.skipped += timedelta(seconds=seconds)


class UnavailableCounter:
    """Failure counts of a Redis that is unavailable."""

    async def read(self, keys: object) -> list[FailureCount]:
        raise DependencyUnavailable(str(keys))

    async def add(self, keys: object, window: int) -> None:
        raise DependencyUnavailable(f"{keys} {window}")

    async def clear(self, key: str) -> None:
        raise DependencyUnavailable(key)


class MemoryMailer:
    """Collects mails; the next ``failures`` ones cannot be delivered."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.failures = 0

    async def send(self, to: str, subject: str, text: str) -> None:
        if self.failures:
            self.failures -= 1
            raise MailDeliveryError(f"refused: {subject}")
        self.sent.put_nowait((to, text))


@dataclass
class UnitAuth:
    """Services, their stores, and short forms of what most tests do."""

    services: AuthServices
    database: MemoryDatabase
    cache: MemoryRevocationCache
    clock: StoreClock = field(default_factory=StoreClock)

    async def user(self, name: str = "ada", *, scopes: tuple[str, ...] = DEFAULT_SCOPES) -> User:
        return await self.services.accounts.ensure(
            username=name, email=f"{name}@example.org", password=PASSWORD, scopes=scopes
        )

    async def grant(self, **form: str) -> TokenGrant:
        client_id, secret = form.pop("client_id", None), form.pop("client_secret", None)
        return await self.services.grants.grant(TokenRequest(form, client_id, secret, HERE))

    async def login(self, name: str = "ada", password: str = PASSWORD, **form: str) -> TokenGrant:
        return await self.grant(grant_type="password", username=name, password=password, **form)

    async def refresh(self, token: str | None, **form: str) -> TokenGrant:
        return await self.grant(grant_type="refresh_token", refresh_token=token or "", **form)

    async def principal(self, granted: TokenGrant) -> Principal:
        return await self.services.verifier.verify(granted.access.token)

    async def verified_user(self, name: str = "ada") -> User:
        user = await self.user(name)
        self.change(user.id, email_verified=True)
        return self.database.users[user.id]

    def change(self, user_id: UUID, **members: object) -> None:
        self.database.users[user_id] = replace(self.database.users[user_id], **members)  # type: ignore[arg-type]


def unit_settings(**overrides: object) -> AuthSettings:
    """Return settings for in-memory stores."""
    given: dict[str, object] = {
        "database_url": "postgresql://unused",
        "redis_url": "redis://unused",
        "admin_port": 0,
        "auth_secret_key": secrets.token_hex(32),
        "registration": "open",
        "internal_clients": f'{{"gateway": "{GATEWAY_SECRET}"}}',
    }
    return load(AuthSettings, **(given | overrides))


async def unit_auth(hasher: PasswordHasher, **overrides: object) -> UnitAuth:
    """Return services over new in-memory stores; ``overrides`` are settings."""
    return await unit_auth_with(unit_settings(**overrides), hasher)


async def unit_auth_with(settings: AuthSettings, hasher: PasswordHasher, mail: MailQueue | None = None) -> UnitAuth:
    """Return services over new in-memory stores; without ``mail`` they send none."""
    clock = StoreClock()
    database, cache = MemoryDatabase(clock), MemoryRevocationCache()
    keys = KeyRing(MemorySigningKeyStore(), SecretCipher(secrets.token_bytes(32)), POLICY)
    await keys.start()
    services = build_services(
        settings,
        stores=memory_stores(database),
        keys=keys,
        hasher=hasher,
        failures=MemoryFailureCounter(),
        revocation_cache=cache,
        plans=load_plans(settings.plans_file),
        mail=mail,
    )
    return UnitAuth(services, database, cache, clock)
