"""Request of OpenAI's chat completions endpoint: the members that change the answer."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fake_provider.errors import RejectedRequestError


class ChatMessage(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part["text"] for part in self.content if isinstance(part.get("text"), str))
        return self.content or ""


class CompletionStreamOptions(BaseModel):
    include_usage: bool = False


class ModelRequest(BaseModel):
    """Members of a chat completion request that change the answer. All other members are accepted and ignored."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(min_length=1, max_length=4000)
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = False
    stream_options: CompletionStreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    n: Literal[1] | None = 1
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    reasoning_effort: str | None = None
    thinking: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def required_call(self) -> str | None:
        """Return the name of the function that must be called: empty for any function, None if text is allowed."""
        if isinstance(self.tool_choice, dict):
            function = self.tool_choice.get("function")
            return str(function.get("name", "")) if isinstance(function, dict) else ""
        return "" if self.tool_choice == "required" else None

    @property
    def last_user_text(self) -> str:
        return next((message.text for message in reversed(self.messages) if message.role == "user"), "")

    @property
    def prompt_tokens(self) -> int:
        return sum(len(message.text.split()) for message in self.messages)

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def wants_reasoning(self) -> bool:
        return self.reasoning_effort is not None or self.thinking is not None


def parse_request(document: object) -> ModelRequest:
    """Validate a decoded request body; raise `RejectedRequestError` with the name of the invalid member."""
    try:
        return ModelRequest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(str(step) for step in first["loc"]) or None
        raise RejectedRequestError(f"Invalid request: {param or 'body'}: {first['msg']}", param=param) from None
