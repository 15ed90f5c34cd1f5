"""Function tools and tool results of a turn, in OpenAI's form."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError, field_validator, model_validator

from chat.protocols.json_values import check_storable
from chat.tool_call_limits import MAX_CALL_ID
from parley.web.schemas import RequestBody, Text, max_entries
from parley.web.validation import FieldValueError

MAX_TOOLS = 128
MAX_RESULTS = 128
MAX_RESULT_LENGTH = 256_000
CHOICES = frozenset({"auto", "none", "required"})
CHOICE = 'Must be `auto`, `none`, `required`, or `{"type": "function", "function": {"name": …}}`.'
FunctionName = Annotated[Text, StringConstraints(min_length=1, max_length=128)]


class FunctionDefinition(RequestBody):
    """A function that the model may call; ``parameters`` is a JSON schema."""

    name: FunctionName
    description: Text | None = None
    parameters: Annotated[dict[str, Any], AfterValidator(check_storable)] | None = None
    strict: bool | None = Field(None, strict=True)


class ChatTool(RequestBody):
    """A tool. Only functions are offered."""

    type: Literal["function"]
    function: FunctionDefinition


class ChosenFunction(RequestBody):
    """The name of a function of `tools`."""

    name: FunctionName


class FunctionChoice(RequestBody):
    """The function that the model must call."""

    type: Literal["function"]
    function: ChosenFunction


class ToolResultInput(RequestBody):
    """The result of a call of the answer before."""

    tool_call_id: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_CALL_ID)]
    content: Annotated[Text, StringConstraints(max_length=MAX_RESULT_LENGTH)]


def is_none(value: object) -> bool:
    """Tell whether a member is not given."""
    return value is None


class ToolOptions(RequestBody):
    """The members of a request that offer tools to the model."""

    # Left out of the digest of a request without them, which is compared with those of the release before.

    tools: Annotated[list[ChatTool], Field(fail_fast=True), max_entries(MAX_TOOLS)] | None = Field(
        None,
        exclude_if=is_none,
        description="Functions that the model may call, in OpenAI's form. Send them with each request.",
    )
    tool_choice: Literal["auto", "none", "required"] | FunctionChoice | None = Field(
        None,
        exclude_if=is_none,
        description="Whether, and which, functions the model calls. Requires `tools`.",
    )
    parallel_tool_calls: bool | None = Field(None, strict=True, exclude_if=is_none)
    tool_results: Annotated[list[ToolResultInput], Field(min_length=1), max_entries(MAX_RESULTS)] | None = Field(
        None,
        exclude_if=is_none,
        description="Results of the calls of the answer `parent_id`, one for each call; the model goes on with them. "
        "Sent in place of `message`.",
    )

    @field_validator("tool_choice", mode="before")
    @classmethod
    def _known_choice(cls, value: object) -> object:
        if value is None or (isinstance(value, str) and value in CHOICES):
            return value
        try:
            return FunctionChoice.model_validate(value)
        except ValidationError:
            raise FieldValueError("invalid_choice", CHOICE) from None

    @model_validator(mode="after")
    def _offers_what_it_chooses(self) -> "ToolOptions":
        names = {tool.function.name for tool in self.tools or ()}
        if not names and (self.requires_call or self.parallel_tool_calls is not None):
            raise FieldValueError("required", "`tool_choice` and `parallel_tool_calls` require `tools`.")
        if isinstance(self.tool_choice, FunctionChoice) and self.tool_choice.function.name not in names:
            raise FieldValueError("unknown_tool", "`tool_choice` names a function that is not in `tools`.")
        given = [result.tool_call_id for result in self.tool_results or ()]
        if len(set(given)) < len(given):
            raise FieldValueError("duplicate", "`tool_results` has two results of one call.")
        return self

    def options(self) -> dict[str, Any]:
        """Return the parameters to forward to the provider."""
        if not self.tools:
            return {}
        return self.model_dump(exclude_none=True, include={"tools", "tool_choice", "parallel_tool_calls"})

    @property
    def requires_call(self) -> bool:
        """Tell whether the model must call a function."""
        return self.tool_choice not in (None, "auto", "none")
