"""Events of Parley: models, CloudEvents envelopes, and a subscriber for RabbitMQ."""

from typing import TYPE_CHECKING, Any

from parley_events.catalogue import CATALOGUE, model_of
from parley_events.cloudevents import CloudEvent, MalformedEvent
from parley_events.decoding import decode, decode_as
from parley_events.gaps import Gap
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
from parley_events.parts import AssistantMessage, ErrorInfo, ToolResult, Usage, UserMessage
from parley_events.subscription import Rejected
from parley_events.webhook_models import WebhookDisabled

if TYPE_CHECKING:
    from parley_events.subscriber import Subscriber
    from parley_events.topology import TopologyError

__all__ = [
    "CATALOGUE",
    "ApiKeyRevoked",
    "AssistantMessage",
    "CloudEvent",
    "ConversationCreated",
    "ConversationDeleted",
    "ConversationUpdated",
    "ErrorInfo",
    "EventData",
    "Gap",
    "MalformedEvent",
    "Rejected",
    "SessionRevoked",
    "Subscriber",
    "ToolResult",
    "TopologyError",
    "TurnEnded",
    "TurnRedacted",
    "TurnStarted",
    "Usage",
    "UserChanged",
    "UserErased",
    "UserErasureConfirmed",
    "UserMessage",
    "WebhookDisabled",
    "decode",
    "decode_as",
    "model_of",
]

# Imported on first use: a process that only reads or writes events does not load the AMQP client.
_LAZY = {"Subscriber": "parley_events.subscriber", "TopologyError": "parley_events.topology"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
