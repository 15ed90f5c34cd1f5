"""Data of the events about webhooks."""

from typing import Literal
from uuid import UUID

from parley_events.fields import Timestamp
from parley_events.models import EventData

WebhookDisabledReason = Literal["gone", "failing", "account_disabled", "scope_removed"]


class WebhookDisabled(EventData):
    """A webhook was disabled: it gets no events until its owner activates it again.

    ``gone``: the receiver answered 410. ``failing``: no delivery succeeded for days. ``account_disabled``,
    ``scope_removed``: the owner may no longer have it.
    """

    names = ("webhook.disabled",)
    source = "/services/webhooks"

    webhook_id: UUID
    user_id: UUID
    scope: Literal["own", "all"]
    reason: WebhookDisabledReason
    failing_since: Timestamp | None
    at: Timestamp
