"""Secret keys, encryption, opaque tokens, cursors and settings."""

import base64
import json
import secrets
from typing import Any
from uuid import UUID

import pytest

from auth.security import secret_tokens as tokens
from auth.settings import AuthSettings
from auth.web.pagination import CursorCodec
from parley.config.settings import SettingsError, load
from parley.errors import InvalidCursor
from parley.security.encryption import DecryptionError, InvalidKeyError, SecretCipher, derive_key, read_key

KEY = bytes(range(60, 92)) + b"\xff"
RANDOM = secrets.token_bytes(32)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(RANDOM.hex(), id="hex"),
        pytest.param(base64.b64encode(RANDOM).decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(RANDOM).decode(), id="base64url"),
    ],
)
def test_a_key_is_read_in_hex_and_base64(text: str) -> None:
    assert read_key(text) == RANDOM


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        pytest.param(RANDOM[:31].hex(), id="31 bytes"),
        "00" * 32,
        "changeme" * 8,
        "an-example-key-of-more-than-32-bytes-aaaa",
        base64.b64encode(b"my very own words are not random enough").decode(),
        "not base64 at all! " * 4,
    ],
)
def test_a_key_that_is_short_malformed_or_an_example_is_refused(text: str) -> None:
    with pytest.raises(InvalidKeyError) as refused:
        read_key(text)
    assert len(text) < 5 or text not in str(refused.value)


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert len({derive_key(RANDOM, "a"), derive_key(RANDOM, "b"), RANDOM}) == 3


def test_a_ciphertext_decrypts_only_with_its_name_and_key() -> None:
    cipher = SecretCipher(derive_key(RANDOM, "a"))
    sealed = cipher.encrypt(b"private", "kid-1")
    assert cipher.decrypt(sealed, "kid-1") == b"private"
    assert b"private" not in sealed
    tampered = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for other, blob, name in ((cipher, sealed, "kid-2"), (cipher, tampered, "kid-1"), (cipher, b"", "kid-1")):
        with pytest.raises(DecryptionError):
            other.decrypt(blob, name)
    with pytest.raises(DecryptionError):
        SecretCipher(derive_key(RANDOM, "b")).decrypt(sealed, "kid-1")


def test_the_successor_of_a_refresh_token_depends_only_on_the_token_and_the_key() -> None:
    token = tokens.new_refresh_token()
    following = tokens.successor(token, KEY)
    assert following == tokens.successor(token, KEY)
    assert tokens.looks_like_refresh_token(following)
    assert len({token, following, tokens.successor(token, RANDOM), tokens.successor(following, KEY)}) == 4


def test_an_api_key_carries_its_checksum() -> None:
    key = tokens.new_api_key()
    assert tokens.valid_api_key(key)
    for position in range(len(key)):
        other = "a" if key[position] != "a" else "b"
        assert not tokens.valid_api_key(key[:position] + other + key[position + 1 :])
    assert not tokens.valid_api_key(key + "\n")


def test_a_cursor_belongs_to_its_list() -> None:
    cursors, last = CursorCodec(KEY), UUID("01a200a7-0000-7000-8000-000000000001")
    text = cursors.encode("users", last)
    assert cursors.decode("users", text) == last
    assert cursors.decode("users", None) is None
    for name, wrong in (("sessions", text), ("users", text[:-2]), ("users", "%"), ("users", "é")):
        with pytest.raises(InvalidCursor):
            cursors.decode(name, wrong)


def settings(**overrides: Any) -> AuthSettings:
    given = {"database_url": "postgresql://x", "redis_url": "redis://x", "auth_secret_key": RANDOM.hex()}
    return load(AuthSettings, **(given | overrides))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        ({"auth_secret_key": "changeme"}, "AUTH_SECRET_KEY"),
        ({"auth_secret_key": RANDOM[:16].hex()}, "AUTH_SECRET_KEY"),
        ({"internal_clients": "{"}, "INTERNAL_CLIENTS"),
        ({"internal_clients": '{"gateway": "short"}'}, "INTERNAL_CLIENTS"),
        ({"internal_clients": "[]"}, "INTERNAL_CLIENTS"),
        ({"internal_clients": '{"gateway": []}'}, "INTERNAL_CLIENTS"),
        ({"internal_clients": json.dumps({"gateway": [RANDOM.hex(), "short"]})}, "INTERNAL_CLIENTS"),
        ({"internal_clients": json.dumps({"gateway": [RANDOM.hex()] * 3})}, "INTERNAL_CLIENTS"),
        ({"trusted_proxies": "nonsense"}, "TRUSTED_PROXIES"),
        ({"registration": "maybe"}, "REGISTRATION"),
    ],
)
def test_an_unsafe_setting_is_named_in_one_line_without_its_value(overrides: dict[str, Any], line: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(**overrides)
    assert line in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    assert not any(str(value) in str(refused.value) for value in overrides.values() if len(str(value)) > 5)


def test_the_secret_key_has_no_default() -> None:
    with pytest.raises(SettingsError, match="AUTH_SECRET_KEY: is required"):
        load(AuthSettings, database_url="postgresql://x", redis_url="redis://x")


def test_registration_is_closed_unless_it_is_opened() -> None:
    assert settings().registration == "closed"
