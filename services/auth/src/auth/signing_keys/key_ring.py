"""Signing keys: generation, rotation and the JWKS.

The keys are stored encrypted, and every replica follows the store without a restart. A new key is published before it
signs, for longer than verifiers cache the JWKS. The old key stays published until the last token it signed has expired,
so a rotation never invalidates a token.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from auth.signing_keys.model import StoredSigningKey
from auth.signing_keys.store import SigningKeyStore
from parley import times
from parley.config.settings import SettingsError
from parley.errors import DependencyUnavailable
from parley.security.encryption import DecryptionError, SecretCipher
from parley.security.tokens import TOKEN_TYPE

log = structlog.get_logger()

ALGORITHM = "EdDSA"
CLOCK_TOLERANCE = 120
"""Seconds that a key stays published after its last token has expired, because clocks differ."""
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class KeyRotationPolicy:
    """Times of key rotation in seconds."""

    publish_ahead: float
    max_age: float
    token_lifetime: float


@dataclass(frozen=True, slots=True)
class _LoadedKey:
    stored: StoredSigningKey
    private: Ed25519PrivateKey


class UndecryptableKeysError(SettingsError):
    """The secret key is not the one that encrypted the stored signing keys."""


class KeyRing:
    """Signs tokens with the active key and publishes the keys of all tokens that can be valid."""

    def __init__(
        self, store: SigningKeyStore, cipher: SecretCipher, policy: KeyRotationPolicy, *, clock: Clock = times.now
    ) -> None:
        self._store, self._cipher, self._policy, self._clock = store, cipher, policy, clock
        self._keys: tuple[_LoadedKey, ...] = ()

    async def start(self) -> None:
        """Load the keys and create the first one; raises UndecryptableKeysError with a wrong secret key."""
        try:
            await self.refresh()
        except DecryptionError as error:
            raise UndecryptableKeysError(f"AUTH_SECRET_KEY: cannot decrypt the stored signing keys ({error})") from None

    async def refresh(self) -> None:
        """Load changes of other replicas; create a key if there is none or the newest is too old."""
        await self._load()
        if not self._keys:
            await self._add(self._clock())
        elif self._clock() - self._newest().activates_at > timedelta(seconds=self._policy.max_age):
            await self.rotate()
        await self._retire()

    async def rotate(self) -> str:
        """Publish a new key that signs after ``publish_ahead`` seconds; returns its id."""
        await self._load()
        newest = self._newest() if self._keys else None
        if newest and newest.activates_at > self._clock():
            return newest.kid  # the previous rotation is still in progress
        await self._add(self._clock() + timedelta(seconds=self._policy.publish_ahead if newest else 0))
        return self._newest().kid

    async def watch(self, interval: float) -> None:
        """Load changes of the stored keys every ``interval`` seconds, forever."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.refresh()
            except DependencyUnavailable:
                log.warning("signing_key_refresh_failed")

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a signed access token."""
        key = self._signer()
        headers = {"typ": TOKEN_TYPE, "kid": key.stored.kid}
        return jwt.encode(dict(claims), key.private, algorithm=ALGORITHM, headers=headers)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS: every key that signs, will sign, or has signed a token that can still be valid."""
        now = self._clock()
        return {"keys": [_jwk(key.stored) for key, end in self._with_ends() if end is None or end > now]}

    def _signer(self) -> _LoadedKey:
        now = self._clock()
        active = [key for key in self._keys if key.stored.activates_at <= now]
        if not active:
            raise DependencyUnavailable("No signing key is active yet. Retry in a few seconds.")
        return active[-1]

    def _newest(self) -> StoredSigningKey:
        return self._keys[-1].stored

    def _with_ends(self) -> list[tuple[_LoadedKey, datetime | None]]:
        """Return each key with the expiry of its last token (None: no successor yet)."""
        tail = timedelta(seconds=self._policy.token_lifetime + CLOCK_TOLERANCE)
        ends: list[datetime | None] = [following.stored.activates_at + tail for following in self._keys[1:]]
        return list(zip(self._keys, [*ends, None], strict=False))

    async def _load(self) -> None:
        known = {key.stored.kid: key for key in self._keys}
        self._keys = tuple(known.get(stored.kid) or self._decrypt(stored) for stored in await self._store.all())

    def _decrypt(self, stored: StoredSigningKey) -> _LoadedKey:
        return _LoadedKey(
            stored, Ed25519PrivateKey.from_private_bytes(self._cipher.decrypt(stored.encrypted_key, stored.kid))
        )

    async def _add(self, activates_at: datetime) -> None:
        private = Ed25519PrivateKey.generate()
        kid = f"{self._clock():%Y-%m}-{secrets.token_hex(4)}"
        encrypted_key = self._cipher.encrypt(private.private_bytes_raw(), kid)
        public_x = str(OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)["x"])
        newest = self._newest().kid if self._keys else None
        if await self._store.add_if_newest_is(
            newest, StoredSigningKey(kid, public_x, encrypted_key, self._clock(), activates_at)
        ):
            log.info("signing_key_added", kid=kid, activates_at=times.iso(activates_at))
        await self._load()

    async def _retire(self) -> None:
        now = self._clock()
        for key, end in self._with_ends():
            if end is not None and end <= now:
                await self._store.retire(key.stored.kid)
                log.info("signing_key_retired", kid=key.stored.kid)
        await self._load()


def _jwk(stored: StoredSigningKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM, "kid": stored.kid, "x": stored.public_x}
