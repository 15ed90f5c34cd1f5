"""Anthropic's Messages API: requests as strict as the original, and answers as its events."""

from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fake_provider.answer_builder import ModelAnswer
from fake_provider.errors import RejectedRequestError, error_text, stream_error_text
from fake_provider.knobs import Knobs
from fake_provider.schemas import ModelRequest
from fake_provider.wire_format import LONG_LINE_BYTES

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class PromptBlock(BaseModel):
    """A content block; the members that the checks and the answer need."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["text", "image", "tool_use", "tool_result", "thinking"]
    text: Annotated[str, Field(min_length=1)] | None = None
    source: dict[str, Any] | None = None
    id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")] | None = None
    input: dict[str, Any] | None = None
    tool_use_id: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")] | None = None
    content: str | list[dict[str, Any]] | None = None


class PromptMessage(BaseModel):
    role: Literal["user", "assistant"]
    content: str | Annotated[list[PromptBlock], Field(min_length=1)]

    @property
    def blocks(self) -> list[PromptBlock]:
        return [PromptBlock(type="text", text=self.content)] if isinstance(self.content, str) else self.content

    @property
    def text(self) -> str:
        return "".join(block.text or "" for block in self.blocks)


class MessagesTool(BaseModel):
    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")
    input_schema: dict[str, Any]


class MessagesRequest(BaseModel):
    """Members of a request that change the answer, or that the original refuses."""

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(min_length=1, max_length=4000)
    max_tokens: int = Field(ge=1)
    messages: list[PromptMessage] = Field(min_length=1)
    system: str | None = None
    stream: bool = False
    temperature: float | None = Field(None, ge=0, le=1)
    tools: list[MessagesTool] = []
    tool_choice: dict[str, Any] | None = None
    n: None = None
    stream_options: None = None

    def check_results(self) -> None:
        """Raise `RejectedRequestError` unless the message after calls has exactly their results."""
        calls: set[str | None] = set()
        for message in self.messages:
            results = {block.tool_use_id for block in message.blocks if block.type == "tool_result"}
            if results != calls:
                raise RejectedRequestError("`tool_use` ids and `tool_result` blocks do not match.", param="messages")
            calls = {block.id for block in message.blocks if block.type == "tool_use"}

    def as_model_request(self) -> ModelRequest:
        """Return the request in the form that the answer is built from."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        # A message of results continues the question; the answer depends on the last text of the user.
        messages = [{"role": message.role, "content": message.text} for message in self.messages if message.text]
        choice = self.tool_choice or {}
        required = {"any": "required", "tool": {"function": {"name": choice.get("name")}}}.get(choice.get("type", ""))
        return ModelRequest.model_validate(
            {
                "model": self.model,
                "messages": [*system, *messages] or [{"role": "user", "content": ""}],
                "stream": self.stream,
                "max_tokens": self.max_tokens,
                "tools": [{"function": {"name": tool.name}} for tool in self.tools],
                "tool_choice": required,
            }
        )


class MessageRenderer:
    """Renderer of one answer: a text block, or a block for each tool call."""

    def __init__(self, call_id: str, request: ModelRequest, knobs: Knobs, answer: ModelAnswer) -> None:
        self._id, self._request, self._knobs, self._answer = call_id, request, knobs, answer
        self._open = False

    def begin(self) -> bytes:
        message = {**self._message([]), "stop_reason": None, "usage": {**self._usage(), "output_tokens": 1}}
        return _event("message_start", message=message) + _event("ping")

    def chunk(self, start: int, end: int) -> bytes:
        delta = orjson.loads(self._answer.delta(start, end))
        if "tool_calls" in delta:
            return b"".join(self._call(call) for call in delta["tool_calls"])
        empty = {"type": "text", "text": ""}
        opened = b"" if self._open else _event("content_block_start", index=0, content_block=empty)
        self._open = True
        text = {"type": "text_delta", "text": delta["content"]}
        return opened + _event("content_block_delta", index=0, delta=text)

    def end_chunks(self) -> bytes:
        closed = _event("content_block_stop", index=0) if self._open else b""
        counts = {"output_tokens": self._usage()["output_tokens"]} if self._knobs.usage else {}
        delta = {"stop_reason": self._reason(), "stop_sequence": None}
        stop = _event("message_stop") if self._knobs.done else b""
        return closed + _event("message_delta", delta=delta, usage=counts) + stop

    def garbage(self) -> bytes:
        if self._knobs.garbage == "long":
            return b"data: " + b"x" * LONG_LINE_BYTES + b"\n\n"
        half = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        half += b'{"type":"text_delta","text":"'
        return half + (b"\n\n" if self._knobs.garbage == "json" else b'\xe2\x82"}}\n\n')

    def stream_error(self) -> bytes:
        kind = self._knobs.error_code or "overloaded_error"
        return _event("error", error={"type": kind, "message": stream_error_text(self._knobs)})

    def status_error(self, status: int, key: str) -> bytes:
        kind = self._knobs.error_code or ERROR_TYPES.get(status, "api_error")
        return _error(kind, error_text(status, self._knobs, key))

    def completion(self) -> bytes:
        message = self._answer.message()
        calls = [_tool_use(call) for call in message.get("tool_calls", ())]
        content = calls or [{"type": "text", "text": message["content"]}]
        return orjson.dumps({**self._message(content), "usage": self._usage()})

    def _call(self, call: dict[str, Any]) -> bytes:
        index, arguments = call["index"], call["function"]["arguments"]
        begun = {**_tool_use(call), "input": {}}
        part = {"type": "input_json_delta", "partial_json": arguments}
        return (
            _event("content_block_start", index=index, content_block=begun)
            + _event("content_block_delta", index=index, delta=part)
            + _event("content_block_stop", index=index)
        )

    def _message(self, content: list[Any]) -> dict[str, Any]:
        return {
            "id": f"msg_{self._id}",
            "type": "message",
            "role": "assistant",
            "model": self._request.model,
            "content": content,
            "stop_reason": self._reason(),
            "stop_sequence": None,
        }

    def _reason(self) -> str:
        return STOP_REASONS.get(self._answer.finish_reason, self._answer.finish_reason)

    def _usage(self) -> dict[str, int]:
        if not self._knobs.usage:
            return {}
        cached = min(self._knobs.cached_tokens, self._request.prompt_tokens)
        return {
            "input_tokens": self._request.prompt_tokens - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": self._answer.total + self._knobs.reasoning_tokens,
        }


class AnthropicApi:
    """Anthropic's Messages API."""

    renderer = MessageRenderer

    def parse(self, document: object) -> ModelRequest:
        """Validate a decoded body; raise `RejectedRequestError` with the name of the invalid member."""
        try:
            request = MessagesRequest.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(step) for step in first["loc"])
            raise RejectedRequestError(f"{place}: {first['msg']}") from None
        request.check_results()
        return request.as_model_request()

    def refusal(self, error: RejectedRequestError) -> bytes:
        return _error(ERROR_TYPES.get(error.status, "invalid_request_error"), error.message)


def _event(kind: str, **members: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps({"type": kind, **members}))


def _error(kind: str, message: str) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})


def _tool_use(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {
        "type": "tool_use",
        "id": call["id"],
        "name": function["name"],
        "input": orjson.loads(function["arguments"]),
    }
