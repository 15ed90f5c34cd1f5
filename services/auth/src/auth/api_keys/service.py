"""API key service: creating, listing and deleting the caller's keys."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from auth.api_keys.model import ApiKey
from auth.api_keys.store import ApiKeyStore
from auth.audit.model import RequestOrigin
from auth.revocations.service import RevocationService
from auth.security import secret_tokens
from parley import times
from parley.errors import FieldError, NotFound, ValidationFailed
from parley.ids import new_id, parse_id
from parley.security.identity import Principal


class ApiKeyService:
    """Creates, lists and deletes the API keys of the caller."""

    def __init__(self, api_keys: ApiKeyStore, revocations: RevocationService) -> None:
        self._api_keys, self._revocations = api_keys, revocations

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
        idempotency_key: str | None,
        origin: RequestOrigin,
    ) -> tuple[ApiKey, str | None]:
        """Return a new key and its secret; the secret is None for a replayed Idempotency-Key.

        Raises ValidationFailed for scopes that the caller does not have, and IdempotencyKeyReused.
        """
        self._validate(principal, scopes, expires_at)
        secret = secret_tokens.new_api_key()
        key = ApiKey(
            id=new_id(),
            user_id=principal.user_id,
            name=name,
            prefix=secret[: secret_tokens.DISPLAY_PREFIX_LENGTH],
            scopes=tuple(scopes),
            created_at=times.now(),
            expires_at=expires_at,
            last_used_at=None,
        )
        fingerprint = hashlib.sha256(repr((name, list(scopes), expires_at)).encode()).digest()
        stored, replayed = await self._api_keys.add(
            key,
            secret_tokens.digest(secret),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            origin=origin,
        )
        return stored, None if replayed else secret

    async def list(self, principal: Principal, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return the caller's keys, newest first."""
        return await self._api_keys.live(principal.user_id, before=before, limit=limit)

    async def delete(self, principal: Principal, key_id: str, origin: RequestOrigin) -> None:
        """Delete one of the caller's keys; raises NotFound."""
        found = parse_id(key_id)
        if found is None or not await self._api_keys.delete(principal.user_id, found, origin):
            raise NotFound
        await self._revocations.push()

    @staticmethod
    def _validate(principal: Principal, scopes: Sequence[str], expires_at: datetime | None) -> None:
        if not set(scopes) <= principal.scopes:
            reason = "An API key can only have scopes of the access token that creates it."
            raise ValidationFailed([FieldError("/scopes", "not_granted", reason)])
        if expires_at is not None and expires_at <= times.now():
            raise ValidationFailed([FieldError("/expires_at", "past", "Must be in the future.")])
