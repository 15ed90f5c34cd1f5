"""The stores and services of auth, and how the services are built from stores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auth.accounts.login import LoginService
from auth.accounts.plans import Plans
from auth.accounts.service import AccountService
from auth.accounts.store import AccountStore
from auth.administration.creation import AccountCreator
from auth.administration.operator import OperatorService
from auth.administration.service import AdminService
from auth.api_keys.service import ApiKeyService
from auth.api_keys.store import ApiKeyStore
from auth.audit.store import AuditLog
from auth.email_verification.service import EmailVerificationService
from auth.email_verification.store import EmailVerificationStore
from auth.erasure.service import ErasureService
from auth.erasure.store import AccountErasureStore
from auth.mail.mail_queue import MailQueue
from auth.mail.notices import SecurityNotices
from auth.password_resets.request_queue import ResetRequestQueue
from auth.password_resets.service import PasswordResetService
from auth.password_resets.store import PasswordResetStore
from auth.revocations.service import RevocationService
from auth.revocations.store import RevocationCache, RevocationStore
from auth.revocations.verifier import RevocationCheckingVerifier
from auth.security.login_failures import FailureCounter, MemoryFailureCounter
from auth.security.login_throttle import LoginThrottle
from auth.security.password_hashing import PasswordHasher
from auth.security.password_policy import PasswordPolicy, common_passwords
from auth.sessions.service import SessionService
from auth.sessions.store import SessionStore
from auth.settings import AuthSettings
from auth.signing_keys.key_ring import KeyRing
from auth.tokens.grants import GrantService, SessionLifetimes
from auth.tokens.introspection import TokenInspector
from auth.tokens.refresh_cookie import RefreshCookie
from auth.tokens.revocation_endpoint import TokenRevoker
from auth.tokens.token_issuer import TokenIssuer
from auth.web.origin import OriginResolver
from auth.web.pagination import CursorCodec
from parley.security.encryption import derive_key
from parley.security.jwks import KeySet
from parley.security.tokens import TokenVerifier

OWN_KEYS_LIFETIME = 1.0


@dataclass(frozen=True, slots=True)
class AuthStores:
    """The stores of auth."""

    accounts: AccountStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    erasures: AccountErasureStore
    password_resets: PasswordResetStore
    email_verifications: EmailVerificationStore
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
    refresh_cookie: RefreshCookie
    inspector: TokenInspector
    revoker: TokenRevoker
    revocations: RevocationService
    sessions: SessionService
    api_keys: ApiKeyService
    administration: AdminService
    operator: OperatorService
    password_resets: PasswordResetService
    email_verification: EmailVerificationService
    erasures: ErasureService
    reset_queue: ResetRequestQueue | None = None
    """None unless `SMTP_URL` is set."""


def build_services(
    settings: AuthSettings,
    *,
    stores: AuthStores,
    keys: KeyRing,
    hasher: PasswordHasher,
    failures: FailureCounter,
    revocation_cache: RevocationCache,
    plans: Plans,
    mail: MailQueue | None = None,
) -> AuthServices:
    """Return the services over stores that are open; without ``mail``, no notices and no verification links."""
    revocations = RevocationService(stores.revocations, revocation_cache)
    verifier = RevocationCheckingVerifier(_own_verifier(settings, keys), revocations)
    login = LoginService(stores.accounts, hasher, LoginThrottle(failures, MemoryFailureCounter()))
    policy = PasswordPolicy(settings.password_min_length, common_passwords())
    notices = SecurityNotices(mail)
    verification = EmailVerificationService(stores.email_verifications, mail, url=settings.verification_page())
    accounts = AccountService(
        accounts=stores.accounts, hasher=hasher, policy=policy, login=login, revocations=revocations,
        notices=notices, verification=verification, registration_open=settings.registration == "open",
    )  # fmt: skip
    issuer = TokenIssuer(keys, plans, issuer=settings.issuer(), lifetime=settings.access_token_lifetime)
    resets = PasswordResetService(
        stores.password_resets, hasher, policy, revocations, notices, verification, url=settings.reset_page()
    )
    creator = AccountCreator(accounts, resets, plans)
    erasures = ErasureService(stores.erasures, revocations)
    return AuthServices(
        verifier=verifier,
        keys=keys,
        origins=OriginResolver(settings.proxies()),
        cursors=CursorCodec(derive_key(settings.secret_key(), "cursors")),
        stores=stores,
        accounts=accounts,
        grants=_grants(settings, stores, login, issuer, revocations, notices),
        refresh_cookie=RefreshCookie(settings.issuer()),
        inspector=TokenInspector(verifier, stores.accounts, issuer=settings.issuer()),
        revoker=TokenRevoker(verifier, stores.sessions, revocations),
        revocations=revocations,
        sessions=SessionService(stores.sessions, revocations),
        api_keys=ApiKeyService(stores.api_keys, stores.accounts, revocations, plans, notices),
        administration=AdminService(
            stores.accounts, stores.sessions, stores.audit, revocations, accounts_service=accounts, creator=creator
        ),
        operator=OperatorService(stores.accounts, creator, resets, erasures, revocations, keys),
        password_resets=resets,
        email_verification=verification,
        erasures=erasures,
    )


def _grants(
    settings: AuthSettings,
    stores: AuthStores,
    login: LoginService,
    issuer: TokenIssuer,
    revocations: RevocationService,
    notices: SecurityNotices,
) -> GrantService:
    lifetimes = SessionLifetimes(
        lifetime=settings.refresh_token_lifetime,
        idle_lifetime=settings.refresh_idle_lifetime,
        reuse_window=settings.refresh_reuse_window,
        successor_key=derive_key(settings.secret_key(), "refresh successors"),
    )
    return GrantService(
        login=login,
        sessions=stores.sessions,
        api_keys=stores.api_keys,
        issuer=issuer,
        revocations=revocations,
        lifetimes=lifetimes,
        clients=settings.clients(),
        notices=notices,
    )


def _own_verifier(settings: AuthSettings, keys: KeyRing) -> TokenVerifier:
    """Return a verifier that reads the JWKS from the key ring instead of over HTTP."""

    async def fetch() -> Mapping[str, Any]:
        return keys.jwks()

    key_set = KeySet(fetch, lifetime=OWN_KEYS_LIFETIME, cooldown=OWN_KEYS_LIFETIME)
    return TokenVerifier(key_set, issuer=settings.issuer())
