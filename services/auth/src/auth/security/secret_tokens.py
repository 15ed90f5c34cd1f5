"""Opaque secrets of which only the digest is stored: refresh tokens, reset tokens and API keys."""

import base64
import hashlib
import hmac
import re
import secrets
import string
import zlib

REFRESH_PREFIX, RESET_PREFIX, VERIFICATION_PREFIX, API_KEY_PREFIX = "prt_", "prs_", "pev_", "parley_"
RANDOM_BYTES = 32
API_KEY_RANDOM_LENGTH, API_KEY_CHECKSUM_LENGTH = 32, 6
DISPLAY_PREFIX_LENGTH = 14
MAX_TOKEN_LENGTH = 128
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_API_KEY = re.compile(
    rf"{API_KEY_PREFIX}([0-9A-Za-z]{{{API_KEY_RANDOM_LENGTH}}})([0-9A-Za-z]{{{API_KEY_CHECKSUM_LENGTH}}})"
)


def digest(token: str) -> bytes:
    """Return the stored digest of a token; 256 random bits need neither salt nor a slow hash."""
    return hashlib.sha256(token.encode()).digest()


def new_refresh_token() -> str:
    """Return the first refresh token of a session."""
    return REFRESH_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def successor(token: str, key: bytes) -> str:
    """Return the refresh token that replaces ``token``; it is derived, so that it need not be stored."""
    mac = hmac.new(key, token.encode(), hashlib.sha256).digest()
    return REFRESH_PREFIX + base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def looks_like_refresh_token(text: str) -> bool:
    """Return whether a text has the form of a refresh token."""
    return text.startswith(REFRESH_PREFIX) and text.isascii() and len(text) <= MAX_TOKEN_LENGTH


def new_reset_token() -> str:
    """Return a new password reset token."""
    return RESET_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def new_verification_token() -> str:
    """Return a new e-mail verification token."""
    return VERIFICATION_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def new_erasure_id() -> str:
    """Return the unguessable public id of an erasure."""
    return secrets.token_urlsafe(RANDOM_BYTES)


def new_api_key() -> str:
    """Return a new API key: 190 random bits, and a checksum that detects typing errors without a database query."""
    body = "".join(secrets.choice(BASE62) for _ in range(API_KEY_RANDOM_LENGTH))
    return f"{API_KEY_PREFIX}{body}{_checksum(body)}"


def valid_api_key(text: str) -> bool:
    """Return whether a text has the form and the checksum of an API key."""
    match = _API_KEY.fullmatch(text)
    return match is not None and hmac.compare_digest(_checksum(match[1]), match[2])


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while len(digits) < API_KEY_CHECKSUM_LENGTH:
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
