"""Key that encrypts auth's signing keys at rest, and its replacement when it is lost."""

import secrets
from pathlib import Path

from auth.wiring import delete_signing_keys
from parley.security.encryption import MIN_KEY_BYTES, InvalidKeyError, read_key
from parley_embedded.errors import EmbeddedError
from parley_embedded.private_files import read_private, write_private

FILE_NAME = "auth-secret-key"
WAY_ON = (
    "Restore that file from a backup, or make new signing keys: parley run --new-signing-keys "
    "(make run ARGS=--new-signing-keys). Every webhook then needs a new secret."
)


def encryption_key(folder: Path) -> str:
    """Return the key; EmbeddedError when the file is missing or damaged."""
    path = folder / FILE_NAME
    text = (read_private(path) or "").strip()
    try:
        read_key(text)
    except InvalidKeyError:
        raise EmbeddedError(f"{path}, which encrypts the signing keys, is missing or damaged. {WAY_ON}") from None
    return text


def wrong_key(folder: Path) -> EmbeddedError:
    """Return the error for a key that is not the one of the database."""
    return EmbeddedError(
        f"{folder / FILE_NAME} is not the key that encrypted the signing keys in the database. {WAY_ON}"
    )


def require_key(folder: Path) -> None:
    """Raise EmbeddedError when the key of an existing database is missing or damaged."""
    if (folder / FILE_NAME).exists() or has_database(folder):
        encryption_key(folder)


def ensure_key(folder: Path) -> None:
    """Create the key of a new folder; raise EmbeddedError when the key of an existing database is lost."""
    require_key(folder)
    if not (folder / FILE_NAME).exists():
        _create(folder)


async def replace_key(folder: Path, database_url: str) -> None:
    """Delete the stored signing keys, and create a new encryption key. Auth then creates a signing key."""
    await delete_signing_keys(database_url)
    _create(folder)


def has_database(folder: Path) -> bool:
    """Return whether the folder contains a database, whose signing keys need the key."""
    return (folder / "postgres" / "cluster").exists()


def _create(folder: Path) -> None:
    write_private(folder / FILE_NAME, secrets.token_hex(MIN_KEY_BYTES))
