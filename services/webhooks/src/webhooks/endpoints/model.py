"""Webhooks, and the limits of their number and fields."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

WebhookScope = Literal["own", "all"]
WebhookStatus = Literal["active", "paused", "disabled"]
MAX_OWN_WEBHOOKS = 10
"""Webhooks of one user for the user's own events."""
MAX_SHARED_WEBHOOKS = 50
"""Webhooks for the events of all users."""
SECRET_OVERLAP_HOURS = 24
"""Hours that the previous secret signs too, after a rotation."""


class TooManyWebhooksError(Exception):
    """The user, or the installation, has the maximum number of webhooks."""


@dataclass(frozen=True, slots=True)
class LastDelivery:
    """The newest attempt of a webhook."""

    at: datetime
    status: str


@dataclass(frozen=True, slots=True)
class Webhook:
    """A webhook without its secrets. ``events`` are filters of event names."""

    id: UUID
    user_id: UUID
    scope: WebhookScope
    url: str
    events: tuple[str, ...]
    description: str | None
    ordered: bool
    status: WebhookStatus
    disabled_reason: str | None
    created_at: datetime
    last_delivery: LastDelivery | None = None
