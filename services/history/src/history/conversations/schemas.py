"""Request and response bodies of the conversation routes."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StrictBool, StringConstraints, field_validator

from parley.times import Timestamp
from parley.web.schemas import Id, Money, RequestBody, ResponseBody, Text, max_entries, not_blank, refuse_null

Archived = Literal["false", "true", "all"]
MAX_METADATA = 16

Title = Annotated[Text, StringConstraints(min_length=1, max_length=200), AfterValidator(not_blank)]
MetadataKey = Annotated[Text, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[Text, StringConstraints(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA), max_entries(MAX_METADATA)]


class Conversation(ResponseBody):
    """A conversation with its totals; ``cost`` is null until a turn with tokens and a known price has ended."""

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
    """The members to change.

    ``active_message_id`` selects the branch that ends in an answer, or in the newest answer to a user message. The next
    message without ``parent_id`` continues it. ``null`` selects the newest turn again.
    """

    title: Title | None = None
    archived: StrictBool | None = None
    active_message_id: Id | None = None
    metadata: Metadata | None = None

    _kept = field_validator("title", "archived", "metadata", mode="before")(refuse_null)

    def changed(self) -> dict[str, Any]:
        """Return the members that the request contains, as JSON values."""
        return self.model_dump(mode="json", include=self.model_fields_set)


class NewConversation(RequestBody):
    """The owner and the metadata of a conversation to create."""

    user_id: UUID
    metadata: Metadata = Field(default_factory=dict)


class OpenAIConversation(ResponseBody):
    """A conversation in OpenAI's format."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class OpenAIConversationUpdate(RequestBody):
    """The metadata of a conversation, as OpenAI's clients replace it."""

    metadata: Metadata


class DeletedOpenAIConversation(ResponseBody):
    """A deleted conversation in OpenAI's format."""

    id: str
    object: Literal["conversation.deleted"] = "conversation.deleted"
    deleted: Literal[True] = True


class ConversationDeletion(ResponseBody):
    """A deleted conversation."""

    conversation_id: UUID
    user_id: UUID
    deleted_at: datetime


class DeletionsResponse(ResponseBody):
    """A page of deleted conversations, in the order of their deletion."""

    deletions: list[ConversationDeletion]


class ConversationOwnerResponse(ResponseBody):
    """The owner of a conversation, its newest answer, and the answer that the user chose, for the other services."""

    user_id: UUID
    deleted: bool
    last_number: int
    latest_answer_id: UUID | None
    chosen_answer_id: UUID | None = None
    chosen_at: Timestamp | None = None
