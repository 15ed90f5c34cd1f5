"""Wire formats of timestamps and amounts in event models."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema


def format_timestamp(moment: datetime) -> str:
    """Return a time in UTC with milliseconds, such as ``2026-11-22T10:00:00.123Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _format_amount(amount: Decimal) -> str:
    return f"{amount:.9f}"


Timestamp = Annotated[
    datetime,
    PlainSerializer(format_timestamp, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Money = Annotated[
    Decimal,
    PlainSerializer(_format_amount, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^-?\d+\.\d{9}$"}, mode="serialization"),
]
"""An amount of US dollars with nine decimal places, such as ``0.000012340``."""
