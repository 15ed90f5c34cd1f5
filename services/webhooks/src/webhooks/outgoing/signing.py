"""Secrets and signatures of Standard Webhooks."""

import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from uuid import UUID

from parley.security.encryption import DecryptionError, SecretCipher

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> bytes:
    """Return a new secret."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """Return a secret as receivers configure it."""
    return PREFIX + base64.b64encode(secret).decode()


def signature_headers(event_id: UUID, timestamp: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of one attempt, with one signature for each secret."""
    signed = f"{event_id}.{timestamp}.".encode() + body
    found = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": str(event_id),
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in found),
    }


class WebhookSecrets:
    """Encrypts the secrets of webhooks; each ciphertext belongs to one webhook."""

    def __init__(self, cipher: SecretCipher) -> None:
        self._cipher = cipher

    def encrypt(self, secret: bytes, webhook_id: UUID) -> bytes:
        """Return the encrypted secret."""
        return self._cipher.encrypt(secret, f"webhook {webhook_id}")

    def decrypt_all(self, encrypted: Sequence[bytes], webhook_id: UUID) -> list[bytes]:
        """Return the secrets that can be decrypted: the previous one may be from before a change of the key."""
        found = []
        for each in encrypted:
            with contextlib.suppress(DecryptionError):
                found.append(self._cipher.decrypt(each, f"webhook {webhook_id}"))
        return found
