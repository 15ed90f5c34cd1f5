"""Manifest of an archive: what it contains, and the digests with which that is verified."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 1
NAME = "manifest.json"
MAX_BYTES = 16_777_216
"""Maximum size of a manifest that is read."""

Digest = str
"""SHA-256 in hex."""


def member_name(service: str, table: str) -> str:
    """Return the name of a table's file in the archive."""
    return f"{service}/{table}.copy"


class _ManifestPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AppliedMigration(_ManifestPart):
    """One row of the table ``schema_migrations``."""

    source: str
    number: int
    digest: Digest


class TablePart(_ManifestPart):
    """The rows of a table, as PostgreSQL's COPY writes them in text format."""

    name: str
    columns: list[str]
    rows: int = Field(ge=0)
    size: int = Field(ge=0, description="Bytes before compression.")
    sha256: Digest


class SequenceValue(_ManifestPart):
    """State of a sequence."""

    name: str
    last_value: int
    is_called: bool


class DatabasePart(_ManifestPart):
    """One database, read from one snapshot. Each table follows the tables that it refers to."""

    service: str
    server_version: str
    snapshot_at: datetime
    migrations: list[AppliedMigration]
    tables: list[TablePart]
    sequences: list[SequenceValue]

    def member(self, table: TablePart) -> str:
        """Return the name of a table's file in the archive."""
        return member_name(self.service, table.name)

    @property
    def rows(self) -> int:
        """The number of rows in all tables."""
        return sum(table.rows for table in self.tables)

    def rows_of(self, table: str) -> int:
        """Return the number of rows of a table."""
        return sum(part.rows for part in self.tables if part.name == table)


class EncryptedKey(_ManifestPart):
    """A secret key, encrypted with AES-256-GCM under a key that scrypt derives from a passphrase; bytes in base64."""

    salt: str
    nonce: str
    ciphertext: str


class SecretKeyPart(_ManifestPart):
    """A secret key without which a part of the data is unreadable."""

    name: Literal["AUTH_SECRET_KEY", "WEBHOOKS_SECRET_KEY"]
    fingerprint: str
    encrypted: EncryptedKey | None = None


class Manifest(_ManifestPart):
    """Content of an archive."""

    format: Literal[1]
    product_version: str
    created_at: datetime
    databases: list[DatabasePart]
    secret_keys: list[SecretKeyPart]

    def database(self, service: str) -> DatabasePart | None:
        """Return the database of a service, None if the archive has none."""
        return next((part for part in self.databases if part.service == service), None)

    def secret_key(self, name: str) -> SecretKeyPart | None:
        """Return a key by its name, None if the archive has no data that needs it."""
        return next((part for part in self.secret_keys if part.name == name), None)
