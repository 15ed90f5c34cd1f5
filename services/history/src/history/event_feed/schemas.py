"""Schema of the events of the feed, for the API's documentation."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel

from parley.times import Timestamp


class FeedEvent(BaseModel):
    """A CloudEvent about one of your conversations. `/asyncapi.yaml` describes the data of each type."""

    specversion: Literal["1.0"]
    id: UUID
    source: str
    type: str
    subject: str
    time: Timestamp
    datacontenttype: Literal["application/json"]
    dataschema: str
    partitionkey: str
    sequence: str
    traceparent: str | None = None
    data: dict[str, Any]
