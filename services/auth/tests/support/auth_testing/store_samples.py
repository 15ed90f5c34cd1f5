"""Accounts, sessions and keys for the tests of stores."""

import secrets
from datetime import timedelta
from uuid import UUID

from auth.accounts.model import NewUser, PasswordChange, User
from auth.api_keys.model import ApiKey
from auth.audit.model import RequestOrigin
from auth.container import AuthStores
from auth.email_verification.service import TOKEN_LIFETIME
from auth.security.scopes import DEFAULT_SCOPES
from auth.sessions.model import NewSession, Session
from parley import times
from parley.ids import new_id

ORIGIN = RequestOrigin("anonymous", None, "203.0.113.7", "test", "request-1")


async def add_user(stores: AuthStores, *, scopes: tuple[str, ...] = DEFAULT_SCOPES) -> User:
    """Store an account with a random name."""
    name = f"user-{secrets.token_hex(6)}"
    return await stores.accounts.add(NewUser(new_id(), name, f"{name}@example.org", None, "hash", scopes), ORIGIN)


async def verify_address(stores: AuthStores, user: User) -> None:
    """Verify the address of an account."""
    digest = secrets.token_bytes(32)
    await stores.email_verifications.issue(user.id, digest, lifetime=TOKEN_LIFETIME, interval=0, origin=ORIGIN)
    assert await stores.email_verifications.use(digest, ORIGIN)


async def start_session(stores: AuthStores, user: User, token: bytes | None = None) -> Session:
    """Store a session whose first refresh token has the digest ``token``."""
    digest = token or secrets.token_bytes(32)
    new = NewSession(new_id(), user.id, "parley-web", user.scopes, digest, lifetime=3600, idle_lifetime=600)
    session = await stores.sessions.start(new, ORIGIN)
    assert session is not None
    return session


async def new_password(stores: AuthStores, user: User, *, keep: UUID | None = None) -> bool:
    """Change the password whose hash is in ``user``."""
    change = PasswordChange(user.id, checked_hash=user.password_hash, password_hash="new", keep_session=keep)
    return await stores.accounts.set_password(change, ORIGIN)


def new_key(user: User, *, seconds: float | None = None) -> ApiKey:
    """Return a key that expires in ``seconds``."""
    expires_at = None if seconds is None else times.now() + timedelta(seconds=seconds)
    return ApiKey(new_id(), user.id, "ci", "parley_abcdefg", ("chat:write",), times.now(), expires_at, None)
