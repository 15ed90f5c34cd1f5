"""What a backup reads and a restore replaces."""

from dataclasses import dataclass, field
from pathlib import Path

KEY_OPTION = "--secret-key-file"
"""Gives the key of a data folder that has none yet."""


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """The DSN of each service's database, and the key of each service that has one."""

    dsns: dict[str, str] = field(repr=False)
    secret_keys: dict[str, str] = field(repr=False)
    new_key_file: Path | None = None
    """Where a stopped stack without a key expects it."""
