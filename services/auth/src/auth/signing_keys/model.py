"""Stored signing keys."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A signing key as stored: the public half in the clear, the private half encrypted."""

    kid: str
    public_x: str
    encrypted_key: bytes = field(repr=False)
    created_at: datetime
    activates_at: datetime
