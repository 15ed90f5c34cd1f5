"""The life of signing keys, with a clock that tests move."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from auth.signing_keys.key_ring import KeyRing, KeyRotationPolicy
from auth.signing_keys.model import StoredSigningKey
from auth_testing.memory_signing_keys import MemorySigningKeyStore
from parley.config.settings import SettingsError
from parley.security.encryption import SecretCipher

RULES = KeyRotationPolicy(publish_ahead=360, max_age=90 * 86_400, token_lifetime=900)


class CalendarClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 10, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> CalendarClock:
    return CalendarClock()


@pytest.fixture
def store() -> MemorySigningKeyStore:
    return MemorySigningKeyStore()


def ring(store: MemorySigningKeyStore, clock: CalendarClock, key: bytes = b"k" * 32) -> KeyRing:
    return KeyRing(store, SecretCipher(key), RULES, clock=clock)


def kids(found: KeyRing) -> list[str]:
    return [key["kid"] for key in found.jwks()["keys"]]


def signer(found: KeyRing) -> str:
    return str(jwt.get_unverified_header(found.sign({}))["kid"])


async def test_the_first_start_creates_a_key_and_later_starts_keep_it(
    store: MemorySigningKeyStore, clock: CalendarClock
) -> None:
    first = ring(store, clock)
    await first.start()
    second = ring(store, clock)
    await second.start()
    assert kids(first) == kids(second) == list(store.rows)
    assert signer(first) == signer(second)
    (stored,) = store.rows.values()
    assert b"k" * 32 not in stored.encrypted_key
    assert "d" not in first.jwks()["keys"][0]


async def test_another_secret_key_is_refused_in_one_line(store: MemorySigningKeyStore, clock: CalendarClock) -> None:
    await ring(store, clock).start()
    with pytest.raises(SettingsError, match="AUTH_SECRET_KEY: cannot decrypt") as refused:
        await ring(store, clock, b"o" * 32).start()
    assert len(str(refused.value).splitlines()) == 1


async def test_an_encrypted_key_does_not_decrypt_under_another_id(
    store: MemorySigningKeyStore, clock: CalendarClock
) -> None:
    await ring(store, clock).start()
    ((kid, stored),) = store.rows.items()
    store.rows[kid] = replace(stored, kid="other")
    with pytest.raises(SettingsError):
        await ring(store, clock).start()


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_until_its_last_token_expires(
    store: MemorySigningKeyStore, clock: CalendarClock
) -> None:
    one, other = ring(store, clock), ring(store, clock)
    await one.start()
    await other.start()
    old = signer(one)
    new = await one.rotate()
    await other.refresh()
    for found in (one, other):
        assert kids(found) == [old, new]
        assert signer(found) == old
    clock.forward(359)
    assert signer(one) == old
    clock.forward(1)
    assert signer(one) == signer(other) == new
    clock.forward(900 + 119)
    assert kids(other) == [old, new]
    clock.forward(1)
    assert kids(other) == [new]
    await one.refresh()
    assert store.retired == [old]
    await other.refresh()
    assert signer(other) == new


async def test_a_rotation_in_progress_is_not_repeated(store: MemorySigningKeyStore, clock: CalendarClock) -> None:
    one, other = ring(store, clock), ring(store, clock)
    await one.start()
    await other.start()
    assert await one.rotate() == await one.rotate() == await other.rotate()
    assert len(store.rows) == 2


async def test_a_key_is_replaced_when_it_is_old(store: MemorySigningKeyStore, clock: CalendarClock) -> None:
    found = ring(store, clock)
    await found.start()
    clock.forward(90 * 86_400)
    await found.refresh()
    assert len(store.rows) == 1
    clock.forward(1)
    await found.refresh()
    assert len(store.rows) == 2


async def test_two_replicas_that_add_a_key_at_once_agree_on_one(
    store: MemorySigningKeyStore, clock: CalendarClock
) -> None:
    one, other = ring(store, clock), ring(store, clock)
    original: Any = store.all
    asked: list[int] = []

    async def all_empty_first() -> Sequence[StoredSigningKey]:
        asked.append(1)
        return [] if len(asked) <= 1 else await original()

    await one.start()
    store.all = all_empty_first  # type: ignore[method-assign]
    await other.start()
    assert signer(one) == signer(other)
    assert len(store.rows) == 1
