"""Keys that encrypt secrets in the databases: their fingerprints, and their copies under a passphrase."""

import base64
import hashlib
import os
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import EncryptedKey, SecretKeyPart

KeyName = Literal["AUTH_SECRET_KEY", "WEBHOOKS_SECRET_KEY"]
NAMES: dict[str, KeyName] = {"auth": "AUTH_SECRET_KEY", "webhooks": "WEBHOOKS_SECRET_KEY"}
"""The key of each service that has one."""
WAY_ON = {
    "AUTH_SECRET_KEY": "or use --new-signing-keys: then every access token is invalid",
    "WEBHOOKS_SECRET_KEY": "or leave webhooks out: name the other services with --service",
}
"""What to do without a key."""
MIN_PASSPHRASE = 12
"""Characters."""
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32
_COST, _BLOCK_SIZE, _PARALLELISM = 2**17, 8, 1
"""Parameters of scrypt: 128 MB and about half a second for one attempt."""


def fingerprint(key: bytes) -> str:
    """Return a digest that identifies a key. It does not reveal the key, which is random and cannot be guessed."""
    return hashlib.sha256(b"parley backup fingerprint " + key).hexdigest()[:32]


def describe(name: KeyName, text: str, passphrase: str | None) -> SecretKeyPart:
    """Return the manifest's entry of a key, with the key itself if there is a passphrase."""
    encrypted = None if passphrase is None else _encrypt(name, text.strip(), passphrase)
    return SecretKeyPart(name=name, fingerprint=fingerprint(_read(name, text)), encrypted=encrypted)


def require_same(part: SecretKeyPart, text: str, *, source: str | None = None) -> None:
    """Raise BackupError unless the text is the key of the archive; ``source`` is where it comes from: the settings."""
    found = fingerprint(_read(part.name, text))
    if found != part.fingerprint:
        raise BackupError(
            f"{source or part.name} is another key (fingerprint {found}) than that of the archive "
            f"({part.fingerprint}), which encrypted secrets in it. Restore with that key, {WAY_ON[part.name]}."
        )


def decrypt(part: SecretKeyPart, passphrase: str) -> str:
    """Return the key in an archive; raise BackupError when there is none or the passphrase is wrong."""
    if part.encrypted is None:
        raise BackupError(f"The archive was made without a passphrase, so {part.name} is not in it.")
    try:
        salt, nonce, ciphertext = (
            base64.b64decode(field, validate=True)
            for field in (part.encrypted.salt, part.encrypted.nonce, part.encrypted.ciphertext)
        )
        text = AESGCM(_derive(passphrase, salt)).decrypt(nonce, ciphertext, _context(part.name)).decode()
    except (InvalidTag, ValueError):
        raise BackupError("The passphrase is not the one of the archive.") from None
    require_same(part, text, source="The key in the archive")
    return text


def _context(name: str) -> bytes:
    return f"parley backup {name}".encode()


def _encrypt(name: str, text: str, passphrase: str) -> EncryptedKey:
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(_NONCE_BYTES)
    ciphertext = AESGCM(_derive(passphrase, salt)).encrypt(nonce, text.encode(), _context(name))
    salt64, nonce64, ciphertext64 = (base64.b64encode(part).decode() for part in (salt, nonce, ciphertext))
    return EncryptedKey(salt=salt64, nonce=nonce64, ciphertext=ciphertext64)


def _derive(passphrase: str, salt: bytes) -> bytes:
    kdf = Scrypt(salt=salt, length=_KEY_BYTES, n=_COST, r=_BLOCK_SIZE, p=_PARALLELISM)
    return kdf.derive(passphrase.encode())


def _read(name: str, text: str) -> bytes:
    from parley.security.encryption import InvalidKeyError, read_key

    try:
        return read_key(text)
    except InvalidKeyError as error:
        raise BackupError(f"{name} {error}.") from None
