"""Checks of ``POST /v1/chat/completions`` against the model: nothing that a client asks for is dropped silently."""

from collections.abc import Callable, Sequence
from typing import Any

from chat import errors
from chat.api.file_checks import check_file, check_image, is_address
from chat.api.request_checks import (
    capabilities,
    invalid,
    refuse_options,
    refuse_parameters,
    require_model,
    require_tools,
    unsupported_type,
)
from chat.catalogue import Catalogue, Model
from chat.protocols.openai_chat.schemas import CompletionMessage, CompletionRequest, ContentPart
from parley.errors import ValidationFailed
from parley.field_errors import FieldError

_HINTS = {
    "audio": "Answers are text.",
    "function_call": "Send `tool_choice`.",
    "functions": "Send `tools`.",
    "modalities": 'Answers are text: send `["text"]`, or omit it.',
    "service_tier": "Send `auto`, or omit it.",
}
MISSING_RESULT = "A message with `tool_calls` must be followed by a message with the role `tool` for each of its calls."
_PART_MEMBERS = {
    "text": {"cache_control"},
    "refusal": set[str](),
    "image_url": {"image_url", "cache_control"},
    "file": {"file"},
}


def check(body: CompletionRequest, catalogue: Catalogue, allows: Callable[[str], bool]) -> Model:
    """Return the model; raise InvalidRequest, ValidationFailed, UnsupportedContent or ModelNotFound.

    ``allows``: whether the caller's plan includes a model.
    """
    require_model(body.model)
    if body.n is not None and body.n > 1:
        raise invalid("/n", "unsupported", "Only one choice is supported. Send n = 1, or omit n.")
    if is_stored(body) and not any(message.role == "user" for message in body.messages):
        detail = "At least one message with role `user` is required in a conversation."
        raise ValidationFailed([FieldError("/messages", "required", detail)])
    model = catalogue.find(body.model, allows)
    refuse_options(model, body.options(), _HINTS)
    if body.top_logprobs and not body.logprobs:
        raise invalid("/top_logprobs", "requires_logprobs", "Send `logprobs: true` with it.")
    stream_options = body.stream_options.unknown if body.stream_options else {}
    refuse_parameters((name for name, value in stream_options.items() if value is not False), "/stream_options")
    _check_tools(body)
    _check_tool_choice(body, model)
    for position, message in enumerate(body.messages):
        _check_message(message, f"/messages/{position}", model)
    _check_calls(body.messages)
    return model


def _check_calls(messages: Sequence[CompletionMessage]) -> None:
    """Raise InvalidRequest for a call without a result, and for a result without a call, as providers do."""
    open_calls: set[str] = set()
    for position, message in enumerate(messages):
        if message.role == "tool" and message.tool_call_id is not None:
            if message.tool_call_id not in open_calls:
                detail = "The message before has no unanswered tool call with this ID."
                raise invalid(f"/messages/{position}/tool_call_id", "unknown_call", detail)
            open_calls.discard(message.tool_call_id)
        elif open_calls and message.role not in ("tool", "function"):
            raise invalid(f"/messages/{position}", "missing_result", MISSING_RESULT)
        if message.role == "assistant":
            open_calls = {call["id"] for call in message.tool_calls or () if _has_id(call)}
    if open_calls:
        raise invalid(f"/messages/{len(messages) - 1}", "missing_result", MISSING_RESULT)


def _has_id(call: Any) -> bool:
    return isinstance(call, dict) and isinstance(call.get("id"), str)


def is_stored(body: CompletionRequest) -> bool:
    """Tell whether the turn of a request belongs to a conversation."""
    return bool(body.store) or "conversation_id" in (body.metadata or {})


def needed_capabilities(body: CompletionRequest) -> frozenset[str]:
    """Return the capabilities that a model needs to answer the request."""
    images = [part for message in body.messages for part in message.parts if part.type == "image_url"]
    addresses = (part.unknown["image_url"]["url"] for part in images)
    return capabilities(images=bool(images), calls=_requires_call(body), urls=any(map(is_address, addresses)))


def _requires_call(body: CompletionRequest) -> bool:
    return body.tool_choice is not None and body.tool_choice not in ("auto", "none")


def _check_tools(body: CompletionRequest) -> None:
    """Raise InvalidRequest for a custom tool: answers cannot have its calls. Other types are those of model servers."""
    for position, tool in enumerate(body.tools if isinstance(body.tools, list) else ()):
        if isinstance(tool, dict) and tool.get("type") == "custom":
            detail = "Custom tools are not offered: send `function`."
            raise invalid(f"/tools/{position}/type", "unsupported", detail)


def _check_tool_choice(body: CompletionRequest, model: Model) -> None:
    if not _requires_call(body):
        return
    if not body.tools:
        raise invalid("/tool_choice", "unsupported", "A call can only be required with `tools`.")
    require_tools(model)


def _check_message(message: CompletionMessage, pointer: str, model: Model) -> None:
    refuse_parameters(message.unknown, pointer, {"function_call": "Send `tool_calls`."})
    for position, part in enumerate(message.parts):
        _check_part(part, f"{pointer}/content/{position}", model)


def _check_part(part: ContentPart, pointer: str, model: Model) -> None:
    if part.type == "image_url" and "vision" not in model.capabilities:
        raise errors.UnsupportedContent
    members = _PART_MEMBERS.get(part.type)
    if members is None:
        detail = "Parts of the types `text`, `image_url` and `file` are supported."
        raise unsupported_type(pointer, detail)
    refuse_parameters((name for name in part.unknown if name not in members), pointer)
    if part.type == "file":
        _check_file(part.unknown.get("file"), f"{pointer}/file")
    if part.type == "image_url":
        image = part.unknown.get("image_url")
        if not isinstance(image, dict) or not isinstance(image.get("url"), str) or not image["url"]:
            detail = "Must be an object with the data of an image, its address, or the ID of a file as `url`."
            raise invalid(f"{pointer}/image_url", "required", detail)
        check_image(image["url"], f"{pointer}/image_url/url", model)


def _check_file(file: Any, pointer: str) -> None:
    check_file(file, pointer)
    refuse_parameters(sorted(file.keys() - {"file_id", "filename", "file_data"}), pointer)
