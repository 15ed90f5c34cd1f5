"""Catalogue of all event models, and their look-up by event type."""

from parley_events.models import (
    ApiKeyRevoked,
    ConversationCreated,
    ConversationDeleted,
    ConversationUpdated,
    EventData,
    SessionRevoked,
    TurnEnded,
    TurnRedacted,
    TurnStarted,
    UserChanged,
    UserErased,
    UserErasureConfirmed,
)
from parley_events.webhook_models import WebhookDisabled

CATALOGUE: tuple[type[EventData], ...] = (
    TurnStarted,
    TurnEnded,
    TurnRedacted,
    ConversationCreated,
    ConversationUpdated,
    ConversationDeleted,
    UserChanged,
    UserErased,
    UserErasureConfirmed,
    SessionRevoked,
    ApiKeyRevoked,
    WebhookDisabled,
)


def model_of(name: str, version: int = 1) -> type[EventData] | None:
    """Return the model of an event type and version, or None if there is none."""
    for model in CATALOGUE:
        if name in model.names and model.schema_version == version:
            return model
    return None
