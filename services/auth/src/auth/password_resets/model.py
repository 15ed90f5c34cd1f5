"""Links with which the owner of an account chooses a password."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PasswordLink:
    """A one-time token, the link that contains it, and its expiry. Both are shown once."""

    token: str = field(repr=False)
    url: str = field(repr=False)
    expires_at: datetime
