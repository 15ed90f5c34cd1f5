"""Secrets that clients hold and we only know by digest: refresh tokens, reset tokens, API keys."""

import base64
import hashlib
import hmac
import re
import secrets
import string
import zlib

REFRESH_PREFIX, RESET_PREFIX, KEY_PREFIX = "prt_", "prs_", "parley_"
RANDOM_BYTES = 32
KEY_RANDOM, KEY_CHECKSUM = 32, 6
SHOWN_PREFIX = 14
MAX_TOKEN = 128
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_KEY = re.compile(rf"{KEY_PREFIX}([0-9A-Za-z]{{{KEY_RANDOM}}})([0-9A-Za-z]{{{KEY_CHECKSUM}}})")


def digest(token: str) -> bytes:
    """Return what is stored of a token: 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def new_refresh_token() -> str:
    """Return the first refresh token of a session."""
    return REFRESH_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def successor(token: str, key: bytes) -> str:
    """Return the refresh token that replaces ``token``: always the same one, so that it need not be stored."""
    mac = hmac.new(key, token.encode(), hashlib.sha256).digest()
    return REFRESH_PREFIX + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def looks_like_refresh_token(text: str) -> bool:
    """Say whether a text can be a refresh token of ours."""
    return text.startswith(REFRESH_PREFIX) and text.isascii() and len(text) <= MAX_TOKEN


def new_reset_token() -> str:
    """Return a token that lets its holder set a new password, once."""
    return RESET_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def new_erasure_id() -> str:
    """Return the public, unguessable name of an erasure."""
    return secrets.token_urlsafe(RANDOM_BYTES)


def new_api_key() -> str:
    """Return a new API key: 190 random bits and a checksum that tells typing errors without a database."""
    body = "".join(secrets.choice(BASE62) for _ in range(KEY_RANDOM))
    return f"{KEY_PREFIX}{body}{_checksum(body)}"


def valid_api_key(text: str) -> bool:
    """Say whether a text has the form and the checksum of an API key."""
    match = _KEY.fullmatch(text)
    return match is not None and hmac.compare_digest(_checksum(match[1]), match[2])


def _checksum(body: str) -> str:
    number, found = zlib.crc32(body.encode()), ""
    while len(found) < KEY_CHECKSUM:
        number, remainder = divmod(number, len(BASE62))
        found = BASE62[remainder] + found
    return found
