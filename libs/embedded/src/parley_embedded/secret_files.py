"""Generated secrets in files that only their owner can read."""

import re
import secrets
from pathlib import Path

from parley_embedded.private_files import read_private, write_private

SECRET_BYTES = 24
_SECRET = re.compile(r"[A-Za-z0-9._~-]{1,255}")
"""The characters that need no quotes in a URL and in a configuration file."""


def read_secret(path: Path) -> str | None:
    """Return the secret in the file; None when the file is missing, empty or damaged."""
    text = (read_private(path) or "").strip()
    return text if _SECRET.fullmatch(text) else None


def read_or_create_secret(path: Path) -> str:
    """Return the secret in the file. A missing, empty or damaged one is replaced.

    For secrets that every start sets anew. Others need `read_secret` and a decision.
    """
    return read_secret(path) or create_secret(path)


def create_secret(path: Path) -> str:
    """Write a new secret to the file and return it."""
    generated = new_secret()
    write_private(path, generated)
    return generated


def new_secret() -> str:
    """Return a random secret."""
    return secrets.token_urlsafe(SECRET_BYTES)
