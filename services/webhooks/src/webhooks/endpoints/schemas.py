"""Bodies of the webhook routes."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, field_validator

from parley.times import Timestamp
from parley.web.schemas import RequestBody, ResponseBody, Text, max_entries, refuse_null
from parley.web.validation import FieldValueError
from webhooks.endpoints.event_filters import MAX_FILTERS, is_filter
from webhooks.endpoints.model import Webhook, WebhookScope, WebhookStatus

MAX_URL_LENGTH = 2048
MAX_DESCRIPTION_LENGTH = 200


def _filter(text: str) -> str:
    if not is_filter(text):
        raise FieldValueError(
            "invalid_format", "Must be an event name such as conversation.turn.completed; * is one word, # any number."
        )
    return text


def _distinct(filters: list[str]) -> list[str]:
    return list(dict.fromkeys(filters))


Url = Annotated[Text, StringConstraints(min_length=1, max_length=MAX_URL_LENGTH)]
Filters = Annotated[
    list[Annotated[str, AfterValidator(_filter)]],
    Field(min_length=1, max_length=MAX_FILTERS),
    AfterValidator(_distinct),
    max_entries(MAX_FILTERS),
]
Description = Annotated[Text, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH)]


class WebhookBody(RequestBody):
    """A new webhook."""

    url: Url
    events: Filters
    description: Description | None = None
    ordered: StrictBool = False
    scope: WebhookScope = "own"


class WebhookPatch(RequestBody):
    """Changes of a webhook; members that are absent stay as they are."""

    url: Url | None = None
    events: Filters | None = None
    description: Description | None = None
    ordered: StrictBool | None = None
    status: Literal["active", "paused"] | None = None

    _kept = field_validator("url", "events", "ordered", "status", mode="before")(refuse_null)


class LastDeliveryView(ResponseBody):
    """The newest attempt."""

    at: Timestamp
    status: str


class WebhookView(ResponseBody):
    """A webhook."""

    id: UUID
    url: str
    events: list[str]
    description: str | None
    scope: WebhookScope
    ordered: bool
    status: WebhookStatus
    disabled_reason: str | None
    created_at: Timestamp
    last_delivery: LastDeliveryView | None

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        """Return the view of a webhook."""
        return cls(**_members(webhook))


class WebhookSecretView(WebhookView):
    """A webhook with its secret, which is shown once."""

    secret: str

    @classmethod
    def with_secret(cls, webhook: Webhook, secret: str) -> "WebhookSecretView":
        """Return the view of a webhook and its new secret."""
        return cls(**_members(webhook), secret=secret)


def _members(webhook: Webhook) -> dict[str, Any]:
    last = webhook.last_delivery
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": list(webhook.events),
        "description": webhook.description,
        "scope": webhook.scope,
        "ordered": webhook.ordered,
        "status": webhook.status,
        "disabled_reason": webhook.disabled_reason,
        "created_at": webhook.created_at,
        "last_delivery": LastDeliveryView(at=last.at, status=last.status) if last else None,
    }
