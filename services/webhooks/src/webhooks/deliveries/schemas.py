"""Bodies of the delivery log."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, model_validator

from parley.times import Timestamp
from parley.web.request_times import Moment
from parley.web.schemas import RequestBody, ResponseBody
from parley.web.validation import FieldValueError
from webhooks.deliveries.model import DeliveryStatus, WebhookDelivery


class RedeliverBody(RequestBody):
    """A range of times at which Parley received events: from ``since``, before ``until``."""

    since: Moment
    until: Moment
    attempted_before: Annotated[
        Moment | None,
        Field(
            description="Only deliveries whose last attempt was before this time; default: now. To send the rest of a "
            "range, repeat `attempted_before` of the first response: it leaves out what was sent again since."
        ),
    ] = None

    @model_validator(mode="after")
    def _ordered(self) -> "RedeliverBody":
        if self.since >= self.until:
            raise FieldValueError("invalid_range", "since must be before until.")
        return self


class RedeliveredView(ResponseBody):
    """Number of deliveries that are sent again, and how to send the rest of the range."""

    deliveries: Annotated[int, Field(description="Deliveries that are sent again.")]
    more: Annotated[
        bool, Field(description="The range has more deliveries: repeat the request with this `attempted_before`.")
    ]
    attempted_before: Timestamp


class DeliveryView(ResponseBody):
    """A delivery and the outcome of its last attempt.

    ``body_sha256`` and ``body_bytes`` describe the request body, which is the same in every attempt.
    """

    id: UUID
    event_id: UUID
    event_type: str
    status: DeliveryStatus
    attempt: int
    next_attempt_at: Timestamp | None
    attempted_at: Timestamp | None
    response_status: int | None
    latency_ms: int | None
    error: str | None
    body_bytes: int
    body_sha256: str
    created_at: Timestamp

    @classmethod
    def of(cls, delivery: WebhookDelivery) -> "DeliveryView":
        """Return the view of a delivery."""
        return cls(**{name: getattr(delivery, name) for name in cls.model_fields})
