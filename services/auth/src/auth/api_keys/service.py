"""API key service: creating, listing and deleting the caller's keys."""

import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from auth.accounts.plans import Plans
from auth.accounts.store import AccountStore
from auth.api_keys.model import DEFAULT_EXPIRY, MAX_KEYS, ApiKey, Expiry, TooManyApiKeysError
from auth.api_keys.store import ApiKeyStore
from auth.audit.model import RequestOrigin
from auth.mail.notices import SecurityEvent, SecurityNotices
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from auth.security.reauthentication import require_recent_login
from parley import times
from parley.errors import NotFound, ValidationFailed
from parley.field_errors import FieldError
from parley.ids import new_id, parse_id
from parley.security.identity import Principal

DEFAULT_LIFETIME = timedelta(days=90)
"""Lifetime of a key whose request names no expiry, unless the plan allows less."""
NARROW_SCOPES = frozenset({"chat:write"})
"""Scopes that a key may get without a recent login."""
TOO_MANY_KEYS = f"An account has at most {MAX_KEYS} API keys. Delete one that is no longer used."
CLOCK_TOLERANCE = timedelta(minutes=5)
"""How far a client's clock may be ahead when it asks for the longest lifetime."""


class ApiKeyService:
    """Creates, lists and deletes the API keys of the caller."""

    def __init__(
        self,
        api_keys: ApiKeyStore,
        accounts: AccountStore,
        revocations: RevocationService,
        plans: Plans,
        notices: SecurityNotices,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api_keys, self._accounts, self._revocations = api_keys, accounts, revocations
        self._plans, self._notices, self._clock = plans, notices, clock

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        scopes: Sequence[str],
        expiry: Expiry,
        idempotency_key: str | None,
        origin: RequestOrigin,
    ) -> tuple[ApiKey, str | None]:
        """Return a new key and its secret; the secret is None for a replayed Idempotency-Key.

        Raises ValidationFailed for scopes that the caller does not have or an expiry that the plan does not allow,
        ReauthenticationRequired for wide scopes or a long lifetime without a recent login, and IdempotencyKeyReused.
        Also raises ValidationFailed if the account has ``MAX_KEYS`` keys that have not expired.
        """
        _check_scopes(principal, scopes)
        now = times.now()
        expires_at = self._expires_at(principal, expiry, now)
        long_lived = expires_at is None or expires_at > now + DEFAULT_LIFETIME + CLOCK_TOLERANCE
        if long_lived or not set(scopes) <= NARROW_SCOPES:
            require_recent_login(principal, self._clock())
        owner = await self._accounts.by_id(principal.user_id)
        secret = secret_tokens.new_api_key()
        key = ApiKey(
            id=new_id(),
            user_id=principal.user_id,
            name=name,
            prefix=secret[: secret_tokens.DISPLAY_PREFIX_LENGTH],
            scopes=tuple(scopes),
            created_at=now,
            expires_at=expires_at,
            last_used_at=None,
        )
        try:
            stored, replayed = await self._api_keys.add(
                key,
                secret_tokens.digest(secret),
                idempotency_key=idempotency_key,
                fingerprint=_fingerprint(name, scopes, expiry),
                origin=origin,
                session_id=parse_id(principal.session_id),
            )
        except TooManyApiKeysError:
            raise ValidationFailed([FieldError("", "too_many", TOO_MANY_KEYS)]) from None
        if replayed:
            return stored, None
        if owner is not None:
            self._notices.send(SecurityEvent.NEW_API_KEY, owner.recipient(), origin, detail=stored.prefix)
        return stored, secret

    async def list(self, principal: Principal, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return the caller's keys, newest first."""
        return await self._api_keys.live(principal.user_id, before=before, limit=limit)

    async def delete(self, principal: Principal, key_id: str, origin: RequestOrigin) -> None:
        """Delete one of the caller's keys; raises NotFound."""
        found = parse_id(key_id)
        if found is None or not await self._api_keys.delete(principal.user_id, found, origin):
            raise NotFound
        await self._revocations.push()

    def _expires_at(self, principal: Principal, expiry: Expiry, now: datetime) -> datetime | None:
        """Return when a key expires; raises ValidationFailed for a time in the past or beyond the plan's maximum."""
        days = self._plans.find(principal.plan).api_key_max_days
        longest = None if days is None else timedelta(days=days)
        if expiry is DEFAULT_EXPIRY:
            return now + min(DEFAULT_LIFETIME, longest or DEFAULT_LIFETIME)
        if expiry is not None and expiry <= now:
            raise ValidationFailed([FieldError("/expires_at", "past", "Must be in the future.")])
        if longest is not None and (expiry is None or expiry > now + longest + CLOCK_TOLERANCE):
            reason = f"API keys of this plan expire after at most {days} days."
            raise ValidationFailed([FieldError("/expires_at", "too_late", reason)])
        return expiry


def _check_scopes(principal: Principal, scopes: Sequence[str]) -> None:
    if not set(scopes) <= principal.scopes:
        reason = "An API key can only have scopes of the access token that creates it."
        raise ValidationFailed([FieldError("/scopes", "not_granted", reason)])


def _fingerprint(name: str, scopes: Sequence[str], expiry: Expiry) -> bytes:
    """Return the digest of a request, which its repetition must match.

    An absent expiry has the digest that earlier versions give it, so that a retry during an update finds its key.
    """
    told = None if expiry is DEFAULT_EXPIRY else expiry or "never"
    return hashlib.sha256(repr((name, list(scopes), told)).encode()).digest()
