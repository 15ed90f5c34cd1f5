"""User accounts."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from auth.mail.notices import Recipient
from parley.config.plans import DEFAULT_PLAN

Status = Literal["active", "disabled", "invited"]
"""``invited``: the account has no password yet. It becomes ``active`` when its owner chooses one."""


@dataclass(frozen=True, slots=True)
class User:
    """A user account; tokens issued at or before ``not_before`` (epoch seconds) are void."""

    id: UUID
    username: str
    email: str | None
    email_verified: bool
    display_name: str | None
    status: Status
    plan: str
    scopes: tuple[str, ...]
    password_hash: str = field(repr=False)
    not_before: int
    created_at: datetime
    updated_at: datetime
    last_login_at: datetime | None

    @property
    def active(self) -> bool:
        """Return whether the account may log in."""
        return self.status == "active"

    def recipient(self) -> Recipient:
        """Return whom security notices about this account go to."""
        return Recipient(self.id, self.username, self.email)


@dataclass(frozen=True, slots=True)
class NewUser:
    """An account to create."""

    id: UUID
    username: str
    email: str | None
    display_name: str | None
    password_hash: str = field(repr=False)
    scopes: tuple[str, ...]
    plan: str = DEFAULT_PLAN
    status: Status = "active"


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """A new password for an account whose present one was checked.

    It ends every session except ``keep_session`` and, with ``end_api_keys``, the API keys that were made since the
    password was last set.
    """

    user_id: UUID
    checked_hash: str = field(repr=False, kw_only=True)
    password_hash: str = field(repr=False, kw_only=True)
    keep_session: UUID | None = field(default=None, kw_only=True)
    end_api_keys: bool = field(default=True, kw_only=True)
