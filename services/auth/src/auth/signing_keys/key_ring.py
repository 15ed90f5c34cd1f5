"""The signing keys: generated here, kept sealed in Postgres, followed by every replica without a restart.

A new key is published before it signs, for longer than verifiers keep a JWKS; the old one stays published until the
last token it signed has expired. So no rotation rejects a token.
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

from auth.model import StoredKey
from auth.security.encryption import Sealer, UnsealError
from auth.signing_keys.ports import SigningKeys
from parley import times
from parley.config.settings import SettingsError
from parley.errors import DependencyUnavailable
from parley.security.tokens import TOKEN_TYPE

log = structlog.get_logger()

ALGORITHM = "EdDSA"
OVERTIME = 120
"""Seconds a key stays published after its last token has expired: clocks differ."""
Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class RotationRules:
    """When keys change: times in seconds."""

    publish_ahead: float
    max_age: float
    token_lifetime: float


@dataclass(frozen=True, slots=True)
class _Key:
    stored: StoredKey
    private: Ed25519PrivateKey


class KeyRing:
    """Signs with the active key and publishes all that may be met."""

    def __init__(self, store: SigningKeys, sealer: Sealer, rules: RotationRules, *, clock: Clock = times.now) -> None:
        """Take where the keys are kept, what opens them and when they change."""
        self._store, self._sealer, self._rules, self._clock = store, sealer, rules, clock
        self._keys: tuple[_Key, ...] = ()

    async def start(self) -> None:
        """Load the keys and make the first one; raises SettingsError when the secret key does not open them."""
        try:
            await self.refresh()
        except UnsealError as error:
            raise SettingsError(f"AUTH_SECRET_KEY: does not open the stored signing keys ({error})") from None

    async def refresh(self) -> None:
        """Follow what other replicas did; make a key when there is none or the newest is too old."""
        await self._load()
        if not self._keys:
            await self._add(self._clock())
        elif self._clock() - self._newest().activates_at > timedelta(seconds=self._rules.max_age):
            await self.rotate()
        await self._retire()

    async def rotate(self) -> str:
        """Publish a new key, to sign from ``publish_ahead`` seconds on; returns its id."""
        await self._load()
        newest = self._newest() if self._keys else None
        if newest and newest.activates_at > self._clock():
            return newest.kid  # the last rotation is still under way
        await self._add(self._clock() + timedelta(seconds=self._rules.publish_ahead if newest else 0))
        return self._newest().kid

    async def watch(self, interval: float) -> None:
        """Follow the stored keys for ever, looking each ``interval`` seconds."""
        while True:
            await asyncio.sleep(interval)
            try:
                await self.refresh()
            except DependencyUnavailable:
                log.warning("signing keys not followed")

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the claims as a signed access token."""
        key = self._signer()
        headers = {"typ": TOKEN_TYPE, "kid": key.stored.kid}
        return jwt.encode(dict(claims), key.private, algorithm=ALGORITHM, headers=headers)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document: every key that signs, will sign or has signed a token that may live."""
        now = self._clock()
        return {"keys": [_jwk(key.stored) for key, end in self._with_ends() if end is None or end > now]}

    def _signer(self) -> _Key:
        now = self._clock()
        active = [key for key in self._keys if key.stored.activates_at <= now]
        if not active:
            raise DependencyUnavailable("There is no signing key yet.")
        return active[-1]

    def _newest(self) -> StoredKey:
        return self._keys[-1].stored

    def _with_ends(self) -> list[tuple[_Key, datetime | None]]:
        """Return each key and when its last token is over (None: not replaced yet)."""
        tail = timedelta(seconds=self._rules.token_lifetime + OVERTIME)
        ends: list[datetime | None] = [following.stored.activates_at + tail for following in self._keys[1:]]
        return list(zip(self._keys, [*ends, None], strict=False))

    async def _load(self) -> None:
        known = {key.stored.kid: key for key in self._keys}
        self._keys = tuple(known.get(stored.kid) or self._open(stored) for stored in await self._store.all())

    def _open(self, stored: StoredKey) -> _Key:
        return _Key(stored, Ed25519PrivateKey.from_private_bytes(self._sealer.open(stored.sealed, stored.kid)))

    async def _add(self, activates_at: datetime) -> None:
        private = Ed25519PrivateKey.generate()
        kid = f"{self._clock():%Y-%m}-{secrets.token_hex(4)}"
        sealed = self._sealer.seal(private.private_bytes_raw(), kid)
        public_x = str(OKPAlgorithm.to_jwk(private.public_key(), as_dict=True)["x"])
        newest = self._newest().kid if self._keys else None
        if await self._store.add_if_newest_is(newest, StoredKey(kid, public_x, sealed, self._clock(), activates_at)):
            log.info("signing key added", kid=kid, activates_at=times.iso(activates_at))
        await self._load()

    async def _retire(self) -> None:
        now = self._clock()
        for key, end in self._with_ends():
            if end is not None and end <= now:
                await self._store.retire(key.stored.kid)
                log.info("signing key retired", kid=key.stored.kid)
        await self._load()


def _jwk(stored: StoredKey) -> dict[str, str]:
    return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": ALGORITHM, "kid": stored.kid, "x": stored.public_x}
