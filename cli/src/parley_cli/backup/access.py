"""What a backup reads and a restore replaces."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class DatabaseAccess:
    """The DSN of each service's database, and the key that encrypts the signing keys, if there is one."""

    dsns: dict[str, str] = field(repr=False)
    secret_key: str | None = field(repr=False)
    new_key_file: Path | None = None
    """Where a stopped stack without a key expects it."""
