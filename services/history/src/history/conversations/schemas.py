"""What history receives and answers."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, field_validator

from parley.times import Timestamp
from parley.web.problems import FieldValueError
from parley.web.schemas import Money, RequestBody, ResponseBody, Text
from parley_events.models import Usage

Role = Literal["user", "assistant", "tool"]
Order = Literal["asc", "desc"]
Archived = Literal["false", "true", "all"]
MAX_METADATA = 16


def _not_blank(text: str) -> str:
    if not text.strip():
        raise FieldValueError("blank", "Must not be blank.")
    return text


Title = Annotated[Text, StringConstraints(min_length=1, max_length=200), AfterValidator(_not_blank)]
MetadataKey = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[Text, StringConstraints(max_length=512)]


class Conversation(ResponseBody):
    """A conversation with its totals; ``cost`` is null while no price is known."""

    id: UUID
    title: str | None
    title_source: str
    archived: bool
    model: str | None
    message_count: int
    tokens_used: int
    cost_estimate: float | None
    cost: Money | None
    running_turn_id: UUID | None
    active_message_id: UUID | None
    metadata: dict[str, str]
    version: int
    created_at: Timestamp
    updated_at: Timestamp
    last_message_at: Timestamp | None


class ConversationPatch(RequestBody):
    """What its owner may change; ``active_message_id: null`` goes back to the newest turn."""

    title: Title | None = None
    archived: StrictBool | None = None
    active_message_id: UUID | None = None
    metadata: dict[MetadataKey, MetadataValue] | None = Field(None, max_length=MAX_METADATA)

    @field_validator("title", "archived", "metadata", mode="before")
    @classmethod
    def _given(cls, value: Any) -> Any:
        if value is None:
            raise FieldValueError("required", "Must not be null; leave it out to keep it.")
        return value

    def changed(self) -> dict[str, Any]:
        """Return the members that were sent."""
        return self.model_dump(mode="json", include=self.model_fields_set)


class Message(ResponseBody):
    """A message of a conversation's tree; an answer's id is its turn's."""

    id: UUID
    conversation_id: UUID
    turn_id: UUID | None
    number: int
    parent_id: UUID | None
    sibling_ids: list[UUID]
    role: Role
    content: str
    tool_calls: list[dict[str, Any]] | None
    status: str
    finish_reason: str | None
    model: str | None
    usage: Usage | None
    cost: Money | None
    created_at: Timestamp


class Owner(ResponseBody):
    """Whose a conversation is, for our own services."""

    user_id: UUID
    deleted: bool
    last_number: int


class TurnIds(RequestBody):
    """Turns to look up."""

    turn_ids: list[UUID] = Field(max_length=1000)


class KnownTurns(ResponseBody):
    """Those of the turns that history has stored to their end."""

    known: list[UUID]


class TurnDigest(ResponseBody):
    """What is stored of a turn: its status, and the SHA-256 (hex) of its answer's text in UTF-8."""

    status: str
    sha256: str | None


class TurnDigests(ResponseBody):
    """The stored ones of the turns, by id."""

    digests: dict[UUID, TurnDigest]


class Segment(ResponseBody):
    """A piece of a snippet: what matched, or what stands around it."""

    text: str
    match: bool


class SearchHit(ResponseBody):
    """A message that matches a search."""

    conversation_id: UUID
    conversation_title: str | None
    message_id: UUID
    role: Role
    snippet: list[Segment]
    score: float
    created_at: Timestamp


class UsageRow(ResponseBody):
    """What some turns used; ``cost`` is null when there are turns and none has a known price."""

    turns: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated_turns: int
    cost: Money | None


class UsageGroup(UsageRow):
    """The same for one day, model or conversation."""

    key: str | None


class UsageReport(ResponseBody):
    """Usage from a date (inclusive) to a date (exclusive) in a time zone."""

    from_: str = Field(serialization_alias="from")
    to: str
    tz: str
    group: str
    data: list[UsageGroup]
    total: UsageRow


class Imported(ResponseBody):
    """A conversation that was imported, and how many messages it has."""

    index: int
    conversation_id: UUID
    title: str | None
    messages: int


class Skipped(ResponseBody):
    """Something that was not imported, where it stood and why."""

    index: int
    pointer: str
    code: str
    detail: str


class ImportReport(ResponseBody):
    """What became of an import."""

    imported: list[Imported]
    skipped: list[Skipped]


def cost_estimate(cost: Decimal | None) -> float | None:
    """Return a cost as the number that is only for display."""
    return None if cost is None else float(round(cost, 9))


def moment(text: str) -> datetime:
    """Return the moment that a cursor holds."""
    return datetime.fromisoformat(text)
