"""Deliveries, as the log shows them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

DeliveryStatus = Literal["pending", "delivered", "failed", "dead"]
"""``failed``: the last attempt failed, and another one follows. ``dead``: no attempt follows."""
DELIVERY_STATUSES: tuple[DeliveryStatus, ...] = get_args(DeliveryStatus)
TEST_EVENT = "webhook.test"
ALWAYS_DELIVERED = ("user.erased", "user.erasure_confirmed")
"""Events about erased users that are still delivered: they contain ids only."""
MAX_REDELIVERED = 10_000
"""Deliveries that one request for a time range sends again."""


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One event for one webhook, with the outcome of the last attempt."""

    id: UUID
    event_id: UUID
    event_type: str
    status: DeliveryStatus
    attempt: int
    next_attempt_at: datetime | None
    attempted_at: datetime | None
    response_status: int | None
    latency_ms: int | None
    error: str | None
    body_bytes: int
    body_sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a list shows."""

    status: DeliveryStatus | None = None
    event_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event as it is stored: ``body`` is what every attempt sends."""

    id: UUID
    user_id: UUID | None
    name: str
    version: int
    partition_key: str
    time: datetime
    body: bytes
