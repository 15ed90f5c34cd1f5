"""CloudEvents 1.0 envelope: binary mode for AMQP, structured mode for the event feed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from parley_events.fields import format_timestamp

TYPE_PREFIX = "io.parley."
CONTENT_TYPE = "application/json"
SEQUENCE_DIGITS = 20
OFFSET_HEADER = "x-stream-offset"
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class MalformedEvent(ValueError):
    """A message is not a CloudEvent of Parley."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event: the attributes of the envelope, and the data as JSON bytes.

    ``name`` is the type without prefix and version. ``sequence`` counts the events of ``source`` and ``partition_key``
    from 1 without gaps. ``offset`` is the position in the event log; it is None outside of a replay.
    """

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
    offset: int | None = field(default=None, compare=False)

    @property
    def type(self) -> str:
        """The full type, such as ``io.parley.conversation.turn.completed.v1``."""
        return f"{TYPE_PREFIX}{self.name}.v{self.version}"

    @property
    def routing_key(self) -> str:
        """The AMQP routing key: the type without prefix and version."""
        return self.name

    @property
    def schema(self) -> str:
        """The URN of the JSON Schema of the data."""
        return f"urn:parley:schema:{self.name}:v{self.version}"

    def json(self) -> dict[str, Any]:
        """Return the data as a JSON object."""
        found: dict[str, Any] = json.loads(self.data)
        return found


def attributes(event: CloudEvent) -> dict[str, str]:
    """Return the attributes of the envelope by their CloudEvents names."""
    found = {
        "specversion": "1.0",
        "id": str(event.id),
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": format_timestamp(event.time),
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
    envelope = _encode_json({**attributes(event), "datacontenttype": CONTENT_TYPE}).encode()
    return envelope.removesuffix(b"}") + b',"data":' + event.data + b"}"


def from_headers(headers: Mapping[str, Any], body: bytes) -> CloudEvent:
    """Return the event of a message in binary mode. Raise ``MalformedEvent`` if an attribute is missing or invalid."""
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
            offset=int(str(headers[OFFSET_HEADER])) if OFFSET_HEADER in headers else None,
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise MalformedEvent(f"{type(error).__name__}: {error}") from error


def round_trip(event: CloudEvent) -> CloudEvent:
    """Return the event as it arrives after encoding and decoding."""
    return from_headers(to_headers(event), event.data)


def _parse_time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError("ce-time has no time zone")
    return found.astimezone(UTC)


def _parse_type(text: str) -> tuple[str, int]:
    name, _, version = text.removeprefix(TYPE_PREFIX).rpartition(".v")
    if not text.startswith(TYPE_PREFIX) or not name:
        raise ValueError(f"ce-type is not {TYPE_PREFIX}<name>.v<version>")
    return name, int(version)
