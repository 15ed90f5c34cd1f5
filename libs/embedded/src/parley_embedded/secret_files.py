"""Secrets in files that only their owner can read."""

import os
import secrets
from pathlib import Path


def read_or_create_secret(path: Path) -> str:
    """Return the secret in the file. The first call generates it."""
    existing = path.read_text().strip() if path.exists() else ""
    if existing:
        return existing
    generated = secrets.token_urlsafe(24)
    write_private(path, generated)
    return generated


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
