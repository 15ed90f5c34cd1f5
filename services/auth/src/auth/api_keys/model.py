"""API keys."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Literal, TypeAlias
from uuid import UUID


class _Default(Enum):
    DEFAULT = "default"


DEFAULT_EXPIRY: Literal[_Default.DEFAULT] = _Default.DEFAULT
Expiry: TypeAlias = datetime | Literal[_Default.DEFAULT] | None
"""The requested expiry of a key: a time, None for never, or the default lifetime."""

MAX_KEYS = 100
"""Maximum API keys of an account. Expired ones make room for new ones."""


class TooManyApiKeysError(Exception):
    """The account has as many API keys as it may have, and none of them has expired."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret, which only the client holds."""

    id: UUID
    user_id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
