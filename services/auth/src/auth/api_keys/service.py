"""A person's API keys."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from auth.api_keys.ports import ApiKeys
from auth.model import ApiKey, Origin
from auth.revocations.service import Revocations
from auth.security import secret_tokens as tokens
from parley import times
from parley.errors import FieldError, NotFound, ValidationFailed
from parley.ids import new_id, parse_id
from parley.security.identity import Principal


class ApiKeyService:
    """Makes, lists and deletes API keys."""

    def __init__(self, api_keys: ApiKeys, revocations: Revocations) -> None:
        """Take the keys."""
        self._api_keys, self._revocations = api_keys, revocations

    async def create(
        self,
        principal: Principal,
        *,
        name: str,
        scopes: Sequence[str],
        expires_at: datetime | None,
        idempotency_key: str | None,
        origin: Origin,
    ) -> tuple[ApiKey, str | None]:
        """Return a new key and its secret; no secret when the request is a repetition.

        Raises ValidationFailed for scopes the caller has not, and IdempotencyKeyReused.
        """
        self._refuse(principal, scopes, expires_at)
        secret = tokens.new_api_key()
        key = ApiKey(
            new_id(),
            principal.user_id,
            name,
            secret[: tokens.SHOWN_PREFIX],
            tuple(scopes),
            times.now(),
            expires_at,
            None,
        )
        fingerprint = hashlib.sha256(repr((name, list(scopes), expires_at)).encode()).digest()
        stored, repeated = await self._api_keys.add(
            key,
            tokens.digest(secret),
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
            origin=origin,
        )
        return stored, None if repeated else secret

    async def list(self, principal: Principal, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return the caller's keys, newest first."""
        return await self._api_keys.live(principal.user_id, before=before, limit=limit)

    async def delete(self, principal: Principal, key_id: str, origin: Origin) -> None:
        """Delete one of the caller's keys; raises NotFound."""
        found = parse_id(key_id)
        if found is None or not await self._api_keys.delete(principal.user_id, found, origin):
            raise NotFound
        await self._revocations.push()

    @staticmethod
    def _refuse(principal: Principal, scopes: Sequence[str], expires_at: datetime | None) -> None:
        if not set(scopes) <= principal.scopes:
            raise ValidationFailed([FieldError("/scopes", "not_granted", "Only scopes of this access token.")])
        if expires_at is not None and expires_at <= times.now():
            raise ValidationFailed([FieldError("/expires_at", "past", "Must be in the future.")])
