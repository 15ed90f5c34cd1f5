"""Login sessions and refresh token rotation."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from auth.accounts.model import User

MAX_SESSIONS = 1000
"""Maximum live sessions of an account. A log-in beyond it ends the one that was used longest ago."""
MAX_REFRESH_TOKENS = 5000
"""Refresh tokens of a session that are remembered to detect their reuse: a month of refreshes every ten minutes. A
session with more forgets all but the current one and its predecessor."""
MAX_KNOWN_DEVICES = 1000
"""Devices of an account that are remembered. Beyond them, the one that logged in longest ago is forgotten."""
_VERSION = re.compile(r"[0-9._]+")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """What the sessions of one account may take."""

    sessions: int = MAX_SESSIONS
    refresh_tokens: int = MAX_REFRESH_TOKENS
    devices: int = MAX_KNOWN_DEVICES


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device, with its family of refresh tokens."""

    id: UUID
    user_id: UUID
    client_id: str
    scopes: tuple[str, ...]
    user_agent: str | None
    address: str | None
    auth_time: datetime
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    idle_expires_at: datetime
    new_device: bool = False
    """True only for a session that has just started on a device that the account has not used before."""
    not_before: int = 0
    """For a session that has just started: tokens of its account issued up to this second (epoch) are void."""


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session to create, with the digest of its first refresh token; lifetimes in seconds."""

    id: UUID
    user_id: UUID
    client_id: str
    scopes: tuple[str, ...]
    token_digest: bytes
    lifetime: int
    idle_lifetime: int
    password_hash: str | None = field(default=None, repr=False)
    """The hash that the password matched: no session starts if the password was changed meanwhile."""


@dataclass(frozen=True, slots=True)
class RefreshRotation:
    """The result of using a refresh token; ``reused`` means that the session was ended because of reuse."""

    session: Session
    user: User
    reused: bool


def device_digest(client_id: str, user_agent: str | None) -> bytes:
    """Return what identifies a device: client and user agent, without versions, so that an update makes no new one."""
    return hashlib.sha256(f"{client_id}\n{_VERSION.sub('', user_agent or '')}".encode()).digest()
