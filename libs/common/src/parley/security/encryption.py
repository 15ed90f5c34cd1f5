"""Encryption at rest: validation of the secret key, key derivation, and authenticated encryption."""

import base64
import binascii
import os
import re
from typing import Annotated

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import AfterValidator, SecretStr

MIN_KEY_BYTES = 32
MIN_DISTINCT_BYTES = 12
"""32 random bytes have fewer distinct values with a probability below 10^-16."""
NONCE_BYTES = 12
_HEX = re.compile(r"^(?:[0-9a-fA-F]{2})+$")
_EXAMPLE_WORDS = (
    "example",
    "changeme",
    "change-me",
    "change_me",
    "secret",
    "password",
    "replace",
    "default",
    "insecure",
)


class InvalidKeyError(Exception):
    """A secret key is malformed, too short, or an example; the message does not contain the key."""


class DecryptionError(Exception):
    """Data cannot be decrypted: it was encrypted with another key or was modified."""


def read_key(text: str) -> bytes:
    """Return the bytes of a key in hex or base64; raises InvalidKeyError."""
    text = text.strip()
    if any(word in text.lower() for word in _EXAMPLE_WORDS):
        raise InvalidKeyError("is an example or a default; make one with `openssl rand -base64 32`")
    key = _decode(text)
    if len(key) < MIN_KEY_BYTES:
        raise InvalidKeyError(f"is shorter than {MIN_KEY_BYTES} bytes; make one with `openssl rand -base64 32`")
    if len(set(key)) < MIN_DISTINCT_BYTES or all(32 <= byte < 127 for byte in key):  # noqa: PLR2004 - printable ASCII
        raise InvalidKeyError("is not random; make one with `openssl rand -base64 32`")
    return key


def _decode(text: str) -> bytes:
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidKeyError("is neither base64 nor hex; make one with `openssl rand -base64 32`") from None


def _strong(value: SecretStr) -> SecretStr:
    try:
        read_key(value.get_secret_value())
    except InvalidKeyError as error:
        raise ValueError(str(error)) from None
    return value


SecretKey = Annotated[SecretStr, AfterValidator(_strong)]
"""A setting that is a secret key, as ``read_key`` accepts it."""


def derive_key(key: bytes, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose; no two purposes share a key."""
    # "auth" is part of the keys of every service: without it, all data encrypted so far would be unreadable.
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"parley auth {purpose}".encode()).derive(key)


class SecretCipher:
    """Encrypts small secrets with AES-256-GCM; each ciphertext is bound to the name of its record."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def encrypt(self, plaintext: bytes, name: str) -> bytes:
        """Return the nonce and the ciphertext."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, name.encode())

    def decrypt(self, sealed: bytes, name: str) -> bytes:
        """Return the plaintext that was encrypted under that name; raises DecryptionError."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise DecryptionError(f"cannot decrypt {name}") from None
