"""The service's one secret: checking it, deriving keys from it, and sealing what is stored with it."""

import base64
import binascii
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MIN_BYTES = 32
MIN_DISTINCT = 12
"""32 random bytes with fewer different values than this happen less than once in 10^16 times."""
NONCE_BYTES = 12
_HEX = re.compile(r"^(?:[0-9a-fA-F]{2})+$")
_EXAMPLES = ("example", "changeme", "change-me", "change_me", "secret", "password", "replace", "default", "insecure")


class InvalidKeyError(Exception):
    """A secret key is missing, malformed, short or an example; the message never holds it."""


class UnsealError(Exception):
    """Something stored cannot be opened with this key: another key sealed it, or it was tampered with."""


def read_key(text: str) -> bytes:
    """Return the bytes of a key in hex or base64; raises InvalidKeyError."""
    text = text.strip()
    if any(word in text.lower() for word in _EXAMPLES):
        raise InvalidKeyError("is an example or a default; make one with `openssl rand -base64 32`")
    key = _decode(text)
    if len(key) < MIN_BYTES:
        raise InvalidKeyError(f"is shorter than {MIN_BYTES} bytes; make one with `openssl rand -base64 32`")
    if len(set(key)) < MIN_DISTINCT or all(32 <= byte < 127 for byte in key):  # noqa: PLR2004 - printable ASCII
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


def derive(key: bytes, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose, so that no two uses share a key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"parley auth {purpose}".encode()).derive(key)


class Sealer:
    """Encrypts small secrets at rest (AES-256-GCM), each bound to the name it is stored under."""

    def __init__(self, key: bytes) -> None:
        """Take the 32-byte key."""
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, name: str) -> bytes:
        """Return the sealed bytes."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plain, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Return what was sealed under that name; raises UnsealError."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise UnsealError(f"cannot open what is stored as {name}") from None
