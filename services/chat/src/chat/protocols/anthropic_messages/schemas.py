"""Request schemas of the Messages API. Members that are not declared here are refused, unless they ask for nothing."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from chat.protocols.json_values import Json
from chat.protocols.openai_chat.schemas import MAX_MESSAGES, OpenModel, is_absent
from chat.protocols.openai_responses.schemas import MAX_FILENAME, MAX_TOOLS
from chat.tool_call_limits import MAX_CALL_ID, MAX_CALL_NAME
from parley.web.schemas import Text, max_entries

MAX_STOP_SEQUENCES = 16
NEUTRAL: dict[str, tuple[Any, ...]] = {"service_tier": ("auto", "standard_only"), "speed": ("standard",)}
"""Values that ask for nothing, of parameters that are not offered."""
Role = Literal["user", "assistant", "system"]


class ResultBlock(OpenModel):
    """A content block of a tool result."""

    type: Text
    text: Text | None = None
    cache_control: Json = None
    citations: Json = None


class InputBlock(OpenModel):
    """A content block of a message: text, an image, a document, a tool call, a tool result, or thinking."""

    type: Text
    text: Text | None = None
    source: Json = None
    id: Text | None = Field(None, max_length=MAX_CALL_ID)
    name: Text | None = Field(None, max_length=MAX_CALL_NAME)
    input: Json = None
    tool_use_id: Text | None = Field(None, max_length=MAX_CALL_ID)
    content: Text | Annotated[list[ResultBlock], Field(fail_fast=True)] | None = None
    is_error: bool | None = None
    thinking: Text | None = None
    signature: Text | None = None
    data: Text | None = None
    cache_control: Json = None
    citations: Json = None
    caller: Json = None
    # Left out of the digest of a request without them, which is compared with those of the release before.
    title: Text | None = Field(None, max_length=MAX_FILENAME, exclude_if=is_absent)
    context: Text | None = Field(None, exclude_if=is_absent)


class SystemBlock(OpenModel):
    """A text block of the system prompt."""

    type: Literal["text"]
    text: Text
    cache_control: Json = None
    citations: Json = None


class InputMessage(OpenModel):
    """One message of the conversation."""

    role: Role
    content: Text | Annotated[list[InputBlock], Field(fail_fast=True)]

    @property
    def blocks(self) -> list[InputBlock]:
        """Return the content as blocks."""
        if isinstance(self.content, str):
            return [InputBlock(type="text", text=self.content)]
        return self.content


class CustomTool(OpenModel):
    """A tool of the client. Anthropic's own tools are not offered."""

    neutral: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "allowed_callers": (["direct"],),
        "defer_loading": (False,),
        "eager_input_streaming": (False, True),  # arguments are streamed as they come
    }

    type: Text = "custom"
    name: Text = Field(min_length=1, max_length=128)
    description: Text | None = None
    input_schema: Json = None
    strict: bool | None = None
    cache_control: Json = None


class ToolChoice(OpenModel):
    """Whether, and which, tools the model uses."""

    type: Literal["auto", "any", "tool", "none"]
    name: Text | None = Field(None, max_length=128)
    disable_parallel_tool_use: bool | None = None


class OutputFormat(OpenModel):
    """The format of the answer."""

    type: Text
    schema_: Json = Field(None, alias="schema")


class OutputConfig(OpenModel):
    """Format of the answer, and how much effort the model makes."""

    effort: Text | None = Field(None, max_length=20)
    format: OutputFormat | None = None


class MessageMetadata(OpenModel):
    """Data about the request."""

    user_id: Text | None = Field(None, max_length=256)


class PromptRequest(OpenModel):
    """``POST /v1/messages/count_tokens``: what a model reads."""

    neutral = NEUTRAL

    model: Text = Field(min_length=1, max_length=200)
    messages: list[InputMessage] = Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    system: Text | Annotated[list[SystemBlock], Field(fail_fast=True)] | None = None
    tools: Annotated[list[CustomTool], Field(fail_fast=True), max_entries(MAX_TOOLS)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Json = None
    cache_control: Json = None
    # Left out of the digest of a request without it, which is compared with those of the release before.
    output_config: OutputConfig | None = Field(None, exclude_if=is_absent)

    @property
    def system_text(self) -> str:
        """Return the system prompt, empty if there is none."""
        if isinstance(self.system, list):
            return "\n".join(block.text for block in self.system)
        return self.system or ""


class MessageRequest(PromptRequest):
    """``POST /v1/messages``."""

    max_tokens: int = Field(ge=1, le=10_000_000, strict=True)
    stream: bool | None = Field(None, strict=True)
    stop_sequences: Annotated[list[Text], max_entries(MAX_STOP_SEQUENCES)] | None = None
    temperature: float | None = Field(None, ge=0, le=1)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=0, le=1_000_000, strict=True)
    metadata: MessageMetadata | None = None
