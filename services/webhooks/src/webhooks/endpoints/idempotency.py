"""Responses of requests with an ``Idempotency-Key``."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import UUID

import orjson

from parley.security.encryption import DecryptionError, SecretCipher
from parley.storage.postgres import Connection
from parley.web.idempotency_keys import IdempotencyKeyReused
from parley.web.schemas import RequestBody
from webhooks.database import ERASURE_LOCK, NAMED_LOCK, Database, Row
from webhooks.endpoints.schemas import WebhookSecretView

_FIND = """
SELECT fingerprint, response FROM idempotency_keys
WHERE user_id = $1 AND route = $2 AND key = $3 AND created_at > now() - interval '24 hours'"""
_STORE = """
INSERT INTO idempotency_keys (user_id, route, key, fingerprint, response)
SELECT $1, $2, $3, $4, $5 WHERE NOT EXISTS (SELECT FROM user_tombstones WHERE user_id = $1)
ON CONFLICT (user_id, route, key) DO UPDATE
SET fingerprint = excluded.fingerprint, response = excluded.response, created_at = now()"""


@dataclass(frozen=True, slots=True)
class KeyedRequest:
    """A request whose repetitions get the first response. ``route`` is its path."""

    user_id: UUID
    route: str
    key: str
    fingerprint: bytes


class StoredResponses:
    """Keeps the responses of requests that succeeded, encrypted because they contain secrets, for 24 hours."""

    def __init__(self, database: Database, cipher: SecretCipher) -> None:
        self._database, self._cipher = database, cipher

    async def once(
        self, request: KeyedRequest | None, work: Callable[[Connection], Awaitable[WebhookSecretView]]
    ) -> tuple[WebhookSecretView, bool]:
        """Run ``work`` in a transaction, and return its result and False.

        A request whose key was used before gets the stored result of the first request and True. Raises
        IdempotencyKeyReused if the key belongs to a request with another body.
        """
        async with self._database.transaction() as connection:
            if request is None:
                return await work(connection), False
            place = (request.user_id, request.route, request.key)
            # A repetition waits until the first request has its response.
            await connection.execute(NAMED_LOCK, _name(request))
            await connection.execute(ERASURE_LOCK)
            row = await connection.fetchrow(_FIND, *place)
            if row is not None:
                return self._first(row, request), True
            view = await work(connection)
            encrypted = self._cipher.encrypt(view.model_dump_json().encode(), _name(request))
            await connection.execute(_STORE, *place, request.fingerprint, encrypted)
            return view, False

    def _first(self, row: Row, request: KeyedRequest) -> WebhookSecretView:
        if not hmac.compare_digest(row["fingerprint"], request.fingerprint):
            raise IdempotencyKeyReused
        try:
            text = self._cipher.decrypt(row["response"], _name(request))
        except DecryptionError:
            # The operator has replaced the key of the secrets: the webhook gets a new secret by a new request.
            raise IdempotencyKeyReused from None
        return WebhookSecretView.model_validate_json(text)


def fingerprint(body: RequestBody | None) -> bytes:
    """Return the digest of a body, independent of its formatting and of the order of its members.

    It has only what the client sent, so that a repetition during an update to a version with more members matches.
    """
    sent = body.model_dump(mode="json", exclude_unset=True) if body is not None else None
    return hashlib.sha256(orjson.dumps(sent, option=orjson.OPT_SORT_KEYS)).digest()


def _name(request: KeyedRequest) -> str:
    return f"response {request.user_id} {request.route} {request.key}"
