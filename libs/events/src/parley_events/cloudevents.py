"""CloudEvents 1.0 as Parley sends them: binary mode on AMQP, structured JSON in the feed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from parley.times import iso

PREFIX = "io.parley."
CONTENT_TYPE = "application/json"
SEQUENCE_DIGITS = 20


class MalformedEvent(ValueError):
    """What came over the bus is not a CloudEvent of ours."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event: the envelope, and ``data`` as JSON bytes. ``name`` is the type without prefix and version."""

    id: UUID
    source: str
    name: str
    version: int
    subject: str
    time: datetime
    partition_key: str
    sequence: int
    data: bytes
    traceparent: str | None = None

    @property
    def type(self) -> str:
        """Return the full type, ``io.parley.conversation.turn.completed.v1``."""
        return f"{PREFIX}{self.name}.v{self.version}"

    @property
    def routing_key(self) -> str:
        """Return the AMQP routing key: the type without prefix and version."""
        return self.name

    @property
    def schema(self) -> str:
        """Return the URN of the data's schema."""
        return f"urn:parley:schema:{self.name}:v{self.version}"

    def json(self) -> dict[str, Any]:
        """Return the data as an object."""
        found: dict[str, Any] = orjson.loads(self.data)
        return found


def attributes(event: CloudEvent) -> dict[str, str]:
    """Return the attributes of the envelope, by their CloudEvents names."""
    found = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": iso(event.time),
        "dataschema": event.schema,
        "partitionkey": event.partition_key,
        "sequence": f"{event.sequence:0{SEQUENCE_DIGITS}d}",
    }
    if event.traceparent:
        found["traceparent"] = event.traceparent
    return found


def to_headers(event: CloudEvent) -> dict[str, str]:
    """Return the AMQP headers of binary mode."""
    return {f"ce-{name}": value for name, value in attributes(event).items()}


def to_structured(event: CloudEvent) -> bytes:
    """Return the event as one JSON object (structured mode)."""
    body = {**attributes(event), "datacontenttype": CONTENT_TYPE, "data": orjson.Fragment(event.data)}
    return orjson.dumps(body)


def from_headers(headers: Mapping[str, Any], body: bytes) -> CloudEvent:
    """Read an event in binary mode; raises MalformedEvent."""
    try:
        name, version = _parse_type(str(headers["ce-type"]))
        return CloudEvent(
            id=UUID(str(headers["ce-id"])),
            source=str(headers["ce-source"]),
            name=name,
            version=version,
            subject=str(headers["ce-subject"]),
            time=_parse_time(str(headers["ce-time"])),
            partition_key=str(headers["ce-partitionkey"]),
            sequence=int(str(headers["ce-sequence"])),
            data=bytes(body),
            traceparent=str(headers["ce-traceparent"]) if headers.get("ce-traceparent") else None,
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise MalformedEvent(f"{type(error).__name__}: {error}") from error


def through_the_wire(event: CloudEvent) -> CloudEvent:
    """Encode and decode an event, as a broker would."""
    return from_headers(to_headers(event), event.data)


def _parse_time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("a time without its zone")
    return found.astimezone(UTC)


def _parse_type(text: str) -> tuple[str, int]:
    name, _, version = text.removeprefix(PREFIX).rpartition(".v")
    if not text.startswith(PREFIX) or not name:
        raise ValueError("not a type of ours")
    return name, int(version)
