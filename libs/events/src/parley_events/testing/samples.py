"""Golden samples: one valid event of every type, as in the catalogue."""

from datetime import UTC, datetime
from itertools import count
from typing import Any
from uuid import uuid4

from parley_events.asyncapi import samples
from parley_events.cloudevents import CloudEvent
from parley_events.models import EventData

_sequences = count(1)


def sample(
    model: type[EventData],
    /,
    name: str = "",
    *,
    key: str | None = None,
    sequence: int | None = None,
    source: str = "",
    **changes: Any,
) -> CloudEvent:
    """Return a sample event of a model with a new ID; ``changes`` replace members of its data.

    ``name`` chooses among the types of the model, such as ``conversation.turn.failed``. ``key`` is the partition key;
    unless given, it is the conversation or user of the data. Sequences count up unless given.
    """
    chosen = name or model.names[0]
    if chosen not in model.names:
        raise ValueError(f"{model.__name__} has no type {chosen!r}. It has {', '.join(model.names)}.")
    data = model.model_validate({**samples()[chosen], **changes})
    body = data.model_dump_json().encode()
    subject = str(getattr(data, "conversation_id", None) or getattr(data, "user_id", ""))
    return CloudEvent(
        id=uuid4(),
        source=source or model.source or "/services/chat",
        name=chosen,
        version=model.schema_version,
        subject=subject,
        time=datetime.now(UTC),
        partition_key=key if key is not None else subject,
        sequence=sequence if sequence is not None else next(_sequences),
        data=body,
    )
