"""Request schemas of the Responses API. Members that are not declared here are parameters of the provider."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from chat.protocols.json_values import Json
from chat.protocols.openai_chat.schemas import MAX_TOP_LOGPROBS, OpenModel, is_absent
from chat.protocols.parley.schemas import Metadata, Temperature
from chat.tool_call_limits import MAX_CALL_ID, MAX_CALL_NAME
from parley.web.schemas import MAX_MEMBERS, Text, max_entries
from parley.web.validation import FieldValueError

MAX_ITEMS = 2000
MAX_NEW_ITEMS = 20
"""Items that one request puts into a conversation."""
MAX_TOOLS = 128
MAX_FILENAME = 1000
"""Characters of the name of a file whose data is sent. Its last 255 are used."""
MAX_IDENTIFIER = 512
"""Characters of the identifier of an end user or of a prompt cache. They are stored, and are no tokens."""
MAX_OPTION = 64
"""Characters of an option of the reasoning or of the text, which are names such as `low`."""
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "max_tool_calls": (0,),
    "service_tier": ("auto", "default"),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
"""Values that ask for nothing, of parameters that are not forwarded."""
FORWARDED = ("top_p", "parallel_tool_calls", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")


class InputPart(OpenModel):
    """A part of a message or of an output: text, an image, or a file."""

    type: Text
    text: Text | None = None
    refusal: Text | None = None
    image_url: Text | None = None
    # Left out of the digest of a request without them, which is compared with those of the release before.
    file_id: Text | None = Field(None, max_length=64, exclude_if=is_absent)
    filename: Text | None = Field(None, max_length=MAX_FILENAME, exclude_if=is_absent)
    file_data: Text | None = Field(None, exclude_if=is_absent)
    detail: Literal["low", "high", "auto", "original"] | None = None
    annotations: Json = None
    logprobs: Json = None


Parts = Annotated[list[InputPart], Field(fail_fast=True)]


class InputItem(OpenModel):
    """An item of the input: a message, or an item of an earlier response."""

    type: Text = "message"
    id: Text | None = None
    status: Text | None = None
    role: Literal["user", "assistant", "system", "developer"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None
    content: Text | Parts | None = None
    call_id: Text | None = Field(None, max_length=MAX_CALL_ID)
    name: Text | None = Field(None, max_length=MAX_CALL_NAME)
    arguments: Text | None = None
    output: Text | Parts | None = None
    summary: Parts | None = None
    encrypted_content: Text | None = None


NewItems = Annotated[list[InputItem], Field(max_length=MAX_ITEMS, fail_fast=True)]


class FunctionTool(OpenModel):
    """A tool. Only functions are offered."""

    type: Text
    name: Text | None = Field(None, max_length=128)
    description: Text | None = None
    parameters: Json = None
    strict: bool | None = None


class TextFormat(OpenModel):
    """The format of the answer."""

    type: Text = "text"
    name: Text | None = Field(None, max_length=64)
    description: Text | None = None
    schema_: Json = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(OpenModel):
    """Options of the answer's text."""

    format: TextFormat | None = None
    verbosity: Text | None = Field(None, max_length=MAX_OPTION)


class ReasoningOptions(OpenModel):
    """Options of the model's reasoning."""

    effort: Text | None = Field(None, max_length=MAX_OPTION)
    summary: Text | None = Field(None, max_length=MAX_OPTION)


class ResponseStreamOptions(OpenModel):
    """Options of a streamed response."""

    include_obfuscation: bool | None = Field(None, strict=True)


class ConversationReference(OpenModel):
    """The conversation of a response."""

    id: Text


class ResponseRequest(OpenModel):
    """``POST /v1/responses``."""

    neutral = NEUTRAL

    model: Text | None = Field(None, max_length=200)
    input: Text | Annotated[list[InputItem], Field(max_length=MAX_ITEMS, fail_fast=True)] | None = None
    instructions: Text | None = None
    previous_response_id: Text | None = Field(None, max_length=100)
    conversation: Text | ConversationReference | None = None
    store: bool | None = Field(None, strict=True)
    background: bool | None = Field(None, strict=True)
    stream: bool | None = Field(None, strict=True)
    stream_options: ResponseStreamOptions | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = Field(None, ge=0, le=2)
    top_p: Temperature | None = Field(None, ge=0, le=1)
    max_output_tokens: int | None = Field(None, ge=1, le=10_000_000, strict=True)
    tools: Annotated[list[FunctionTool], Field(fail_fast=True), max_entries(MAX_TOOLS)] | None = None
    tool_choice: Json = None
    parallel_tool_calls: bool | None = Field(None, strict=True)
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS, strict=True, exclude_if=is_absent)
    include: Annotated[list[Text], max_entries(MAX_MEMBERS)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: Text | None = Field(None, max_length=MAX_IDENTIFIER)
    safety_identifier: Text | None = Field(None, max_length=MAX_IDENTIFIER)
    prompt_cache_key: Text | None = Field(None, max_length=MAX_IDENTIFIER)
    prompt_cache_retention: Json = None

    @model_validator(mode="before")
    @classmethod
    def _not_another_form(cls, data: Any) -> Any:
        if isinstance(data, dict) and "input" not in data and data.keys() & {"messages", "message"}:
            raise FieldValueError("wrong_shape", "`input` is expected; chat completions are at `/v1/chat/completions`.")
        return data

    def items(self) -> list[InputItem]:
        """Return the input as items."""
        if isinstance(self.input, str):
            return [InputItem(role="user", content=self.input)]
        return self.input or []

    @property
    def conversation_id(self) -> str | None:
        """The given conversation."""
        return self.conversation.id if isinstance(self.conversation, ConversationReference) else self.conversation


class NewConversationRequest(OpenModel):
    """``POST /v1/conversations``."""

    metadata: Metadata | None = None
    items: NewItems | None = None


class NewItemsRequest(OpenModel):
    """``POST /v1/conversations/{id}/items``."""

    items: NewItems | None = None
