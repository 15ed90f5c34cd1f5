"""Request and response bodies of API keys."""

from typing import Self
from uuid import UUID

from pydantic import Field

from auth.api_keys.model import DEFAULT_EXPIRY, ApiKey, Expiry
from auth.web.fields import KeyScopes, Name
from parley.times import Timestamp
from parley.web.request_times import Moment
from parley.web.schemas import RequestBody, ResponseBody


class ApiKeyBody(RequestBody):
    """A new API key. Without `expires_at` it expires after 90 days, with `null` never, if the plan allows it."""

    name: Name
    scopes: KeyScopes = Field(default_factory=lambda: ["chat:write"])
    expires_at: Moment | None = None

    def expiry(self) -> Expiry:
        """Return the expiry that was sent, or ``DEFAULT_EXPIRY`` for an absent one."""
        return self.expires_at if "expires_at" in self.model_fields_set else DEFAULT_EXPIRY


class ApiKeyView(ResponseBody):
    """An API key; only the response that creates it contains ``key``, the secret."""

    id: UUID
    name: str
    prefix: str
    scopes: list[str]
    created_at: Timestamp
    expires_at: Timestamp | None
    last_used_at: Timestamp | None
    key: str | None = Field(repr=False)

    @classmethod
    def of(cls, stored: ApiKey, key: str | None = None) -> Self:
        """Return the view of a key."""
        return cls(
            id=stored.id,
            name=stored.name,
            prefix=stored.prefix,
            scopes=list(stored.scopes),
            created_at=stored.created_at,
            expires_at=stored.expires_at,
            last_used_at=stored.last_used_at,
            key=key,
        )
