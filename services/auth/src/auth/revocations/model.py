"""Revocations of tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

RevocationReason = Literal["logout", "password_change", "reuse", "admin", "disabled", "erased"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Void tokens: those of a session or API key, or those of a user issued at or before ``not_before``."""

    kind: Literal["session", "user"]
    subject: UUID
    not_before: int
    expires_at: datetime
