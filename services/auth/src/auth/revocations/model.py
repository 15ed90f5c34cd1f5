"""Revocations of tokens."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

ISSUE_MARGIN = 5
"""Seconds after a change of an account in which its tokens are still void: a replica may just sign one with what the
account had before, and the clock of a replica may be ahead."""
RevocationReason = Literal["logout", "password_change", "reuse", "admin", "disabled", "erased"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Void tokens: those of a session or API key, or those of a user issued at or before ``not_before``."""

    kind: Literal["session", "user"]
    subject: UUID
    not_before: int
    expires_at: datetime


def void_until(now: float) -> int:
    """Return the last second (since the epoch) of which tokens are void after a change at the time ``now``."""
    return int(now) + ISSUE_MARGIN
