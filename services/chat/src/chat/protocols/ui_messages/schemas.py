"""Request of the AI SDK's chat transport."""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from chat.protocols.json_values import Json
from chat.protocols.openai_chat.schemas import MAX_MESSAGES, OpenModel, is_absent
from chat.protocols.openai_responses.schemas import MAX_FILENAME, MAX_TOOLS
from chat.protocols.parley.schemas import ClientId, Metadata, SystemPrompt, Temperature
from chat.tool_call_limits import MAX_CALL_ID
from parley.ids import parse_id
from parley.web.schemas import RequestBody, Text, max_entries

MAX_PARTS = 500
STEP, FILE = "step-start", "file"
ANSWERED_STATES = frozenset({"output-available", "output-error", "output-denied"})


class UiPart(OpenModel):
    """A part of a UI message: text, a file, a tool call with its output, or what only the frontend needs."""

    type: Text
    text: Text | None = None
    tool_call_id: Annotated[Text, StringConstraints(max_length=MAX_CALL_ID)] | None = Field(None, alias="toolCallId")
    state: Text | None = None
    output: Json = None
    error_text: Text | None = Field(None, alias="errorText")
    # Left out of the digest of a request without them, which is compared with those of the release before.
    url: Text | None = Field(None, exclude_if=is_absent)
    media_type: Text | None = Field(None, alias="mediaType", exclude_if=is_absent)
    filename: Annotated[Text, StringConstraints(max_length=MAX_FILENAME)] | None = Field(None, exclude_if=is_absent)

    @property
    def is_answered_call(self) -> bool:
        """Tell whether the part is a tool call with its output."""
        return self.tool_call_id is not None and self.state in ANSWERED_STATES


class UiMessage(OpenModel):
    """A message of the frontend."""

    id: Text | None = None
    role: Literal["system", "user", "assistant"]
    parts: Annotated[list[UiPart], Field(fail_fast=True), max_entries(MAX_PARTS)]
    metadata: Json = None

    @property
    def text(self) -> str:
        """Return the text parts."""
        return "\n\n".join(part.text for part in self.parts if part.type == "text" and part.text)

    @property
    def has_files(self) -> bool:
        """Tell whether the message has files."""
        return any(part.type == FILE for part in self.parts)

    @property
    def answer_id(self) -> UUID | None:
        """Return the ID of the newest turn of an answer that has output, None if Parley did not write it."""
        if self.role != "assistant" or not any(part.text or part.tool_call_id for part in self.parts):
            return None
        known = self.metadata.get("turn_id") if isinstance(self.metadata, dict) else None
        given = known if isinstance(known, str) else self.id
        return parse_id(given) if given else None

    @property
    def answered_calls(self) -> list[UiPart]:
        """Return the calls of an answer's last step that have their output."""
        if self.role != "assistant":
            return []
        last = max((at for at, part in enumerate(self.parts) if part.type == STEP), default=-1)
        return [part for part in self.parts[last + 1 :] if part.is_answered_call]


class UiChatRequest(RequestBody):
    """``POST /api/v1/chat/ui``: the members that ``useChat`` sends, and options of Parley."""

    id: ClientId = Field(description="The chat, which is the conversation: a UUID that the frontend has made.")
    messages: Annotated[list[UiMessage], Field(fail_fast=True), max_entries(MAX_MESSAGES)] = Field(
        default_factory=list, description="The messages that the frontend shows; the last one is enough."
    )
    message: UiMessage | None = Field(None, description="The last message, instead of `messages`.")
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    message_id: Text | None = Field(None, alias="messageId", description="The message that is edited or regenerated.")
    model: Annotated[Text, StringConstraints(min_length=1, max_length=200)] | None = None
    system_prompt: SystemPrompt | None = None
    temperature: Temperature | None = Field(None, ge=0, le=2)
    max_tokens: int | None = Field(None, ge=1, le=10_000_000, strict=True)
    tools: Annotated[list[Json], max_entries(MAX_TOOLS)] | None = Field(
        None, description="Function tools in OpenAI's format, which the frontend runs."
    )
    metadata: Metadata = Field(default_factory=dict)

    @property
    def shown(self) -> list[UiMessage]:
        """Return the messages that the frontend shows."""
        return [*self.messages, *([self.message] if self.message is not None else [])]

    def options(self) -> dict[str, Any]:
        """Return the parameters to forward to the provider."""
        return {"tools": self.tools} if self.tools else {}
