"""Checks of ``POST /v1/responses``: nothing that a client asks for is dropped silently."""

from collections.abc import Callable, Iterator
from typing import Any

from fastapi import Depends, Request

from chat import errors
from chat.api.file_checks import check_file, check_file_id, check_image, is_address
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
from chat.input_items import TEXT_PARTS, is_answer
from chat.protocols.openai_chat.schemas import OpenModel
from chat.protocols.openai_responses.parameters import LOGPROBS, STORED_MEMBERS, options_of
from chat.protocols.openai_responses.schemas import InputItem, InputPart, ResponseRequest
from parley.field_errors import json_pointer

ITEMS = "Must be `message`, `function_call`, `function_call_output`, `reasoning`, `compaction` or `item_reference`."
_NEVER_BLANK = frozenset({"call_id", "name"})
_REQUIRED = {
    "message": ("role", "content"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": (),
}
"""Required members of items by type."""
_IGNORED = {"type", "id", "status"}
"""Members that every item may have and that are ignored."""
_HINTS = {
    "max_tool_calls": "Hosted tools are not offered.",
    "prompt": "Prompt templates are not offered. Send `instructions` and `input`.",
    "service_tier": "Send `auto`, or omit it.",
}
_PLACES = {
    "logprobs": "/include",
    "reasoning_effort": "/reasoning/effort",
    "response_format": "/text/format",
    "verbosity": "/text/verbosity",
}
"""Pointers of parameters by the option that they become, where the names differ."""
_PART_MEMBERS = [name for name in InputPart.model_fields if name != "type"]
_MEMBERS_OF_TEXT = {"text", "refusal", "annotations", "logprobs"}
_MEMBERS_OF_PARTS = {
    "input_image": {"image_url", "file_id", "detail"},
    "input_file": {"file_id", "filename", "file_data", "detail"},
}
"""Members of parts by type; every other type is a text."""
INCLUDES = frozenset({"reasoning.encrypted_content", LOGPROBS})
"""Accepted values of ``include``. Reasoning items have their whole text, so a client can send them back as they are."""


NO_OBFUSCATION = "Obfuscation is not offered. Send false."
ONLY_INCLUDES = f"Only {' and '.join(f'`{name}`' for name in sorted(INCLUDES))} are supported."


async def _check_include(request: Request) -> None:
    """Raise InvalidRequest for query parameters that ask for what is not offered.

    OpenAI's clients send ``include`` as a list. ``include_obfuscation`` is one of a stream that is read again.
    """
    for name, value in request.query_params.multi_items():
        if name in {"include", "include[]"} and value not in INCLUDES:
            raise invalid("/include", "unsupported", ONLY_INCLUDES)
        if name == "include_obfuscation" and value.lower() != "false":
            raise invalid("/include_obfuscation", "unsupported", NO_OBFUSCATION)


CHECKS_INCLUDE = [Depends(_check_include)]
"""Dependencies of the routes that return items."""


def check(body: ResponseRequest, catalogue: Catalogue, allows: Callable[[str], bool]) -> Model:
    """Return the model; raise InvalidRequest, UnsupportedContent or ModelNotFound."""
    require_model(body.model)
    model = catalogue.find(body.model, allows)
    check_state(body)
    _check_tools(body, model)
    _check_text(body)
    for position, value in enumerate(body.include or ()):
        if value not in INCLUDES:
            raise invalid(f"/include/{position}", "unsupported", ONLY_INCLUDES)
    if body.reasoning is not None and body.reasoning.summary not in {None, "auto", "detailed"}:
        raise invalid(
            "/reasoning/summary", "unsupported", "The whole reasoning is returned. Send `auto` or `detailed`."
        )
    _check_members(body, model)
    for position, item in enumerate(body.items()):
        check_item(item, f"/input/{position}", model)
    return model


def needed_capabilities(body: ResponseRequest) -> frozenset[str]:
    """Return the capabilities that a model needs to answer the request."""
    images = [part for item in body.items() for _, part in _parts(item) if part.type == "input_image"]
    urls = any(is_address(part.image_url or "") for part in images)
    return capabilities(images=bool(images), calls=_requires_call(body), urls=urls)


def check_calls(items: list[dict[str, Any]], calls_before: list[dict[str, Any]] | None) -> None:
    """Raise InvalidRequest for an output without a call, and for a call of the input without an output.

    ``calls_before``: the calls of the answer that the input follows; None if they are not known here.
    """
    known = {call.get("id") for call in calls_before or ()}
    outputs = {item["call_id"] for item in items if item["type"] == "function_call_output"}
    for position, item in enumerate(items):
        if item["type"] == "function_call":
            known.add(item["call_id"])
            if item["call_id"] not in outputs:
                raise invalid(f"/input/{position}", "missing_output", "No tool output found for this function call.")
        elif item["type"] == "function_call_output" and item["call_id"] not in known and calls_before is not None:
            raise invalid(f"/input/{position}/call_id", "unknown_call", "No tool call found with this `call_id`.")
    missing = known - outputs
    if outputs & known and missing and not any(map(is_answer, items)):
        raise invalid("/input", "missing_output", "Each call of the response before needs a tool output.")


def check_state(body: ResponseRequest) -> None:
    """Raise InvalidRequest if the request names two states, or none that it needs."""
    if body.previous_response_id is not None and body.conversation is not None:
        raise invalid("/previous_response_id", "exclusive", "Send either `conversation` or `previous_response_id`.")
    if body.store is False and body.background:
        raise invalid("/background", "requires_store", "A background response is stored: omit `store`.")
    if body.store is False and body.conversation is not None:
        raise invalid("/conversation", "requires_store", "A response in a conversation is stored: omit `store`.")
    if body.stream_options is not None and body.stream_options.include_obfuscation:
        raise invalid("/stream_options/include_obfuscation", "unsupported", NO_OBFUSCATION)


def _check_members(body: ResponseRequest, model: Model) -> None:
    if body.top_logprobs and LOGPROBS not in (body.include or ()):
        raise invalid("/top_logprobs", "requires_include", f"Send `include` with `{LOGPROBS}`.")
    refuse_options(model, options_of(body), _HINTS, _PLACES)
    nested = {name: getattr(body, name) for name in ("text", "reasoning", "stream_options", "conversation")}
    for parameter, members in nested.items():
        refuse_parameters(members.unknown if isinstance(members, OpenModel) else (), f"/{parameter}")


def _check_tools(body: ResponseRequest, model: Model) -> None:
    for position, tool in enumerate(body.tools or ()):
        pointer = f"/tools/{position}"
        if tool.type != "function":
            raise invalid(f"{pointer}/type", "unsupported", "Hosted tools are not offered: send `function`.")
        if not tool.name:
            raise invalid(f"{pointer}/name", "required", "This field is required.")
        if not isinstance(tool.parameters, dict | None):
            raise invalid(f"{pointer}/parameters", "object_type", "Must be an object: a JSON schema.")
        refuse_parameters(tool.unknown, pointer)
    _check_tool_choice(body, {tool.name for tool in body.tools or ()})
    if _requires_call(body):
        require_tools(model)


def _check_tool_choice(body: ResponseRequest, names: set[str | None]) -> None:
    choice = body.tool_choice
    if choice in (None, "auto", "none"):
        return
    kind = choice.get("type") if isinstance(choice, dict) else None
    if choice != "required" and kind not in ("function", "allowed_tools"):
        detail = "Must be `auto`, `none`, `required`, or an object of the type `function` or `allowed_tools`."
        raise invalid("/tool_choice", "unsupported", detail)
    wanted = choice.get("tools") if kind == "allowed_tools" else [choice] if kind == "function" else []
    if not isinstance(wanted, list) or not all(isinstance(tool, dict) for tool in wanted):
        raise invalid("/tool_choice/tools", "list_type", "Must be a list of functions.")
    if kind == "allowed_tools" and choice.get("mode", "auto") not in ("auto", "required"):
        raise invalid("/tool_choice/mode", "unsupported", "Must be `auto` or `required`.")
    if not names or not all(isinstance(tool.get("name"), str) and tool["name"] in names for tool in wanted):
        raise invalid("/tool_choice", "unknown_tool", "Names a function that is not in `tools`.")


def _requires_call(body: ResponseRequest) -> bool:
    choice = body.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        return choice.get("mode") == "required"
    return choice not in (None, "auto", "none")


def _check_text(body: ResponseRequest) -> None:
    wanted = body.text.format if body.text is not None else None
    if wanted is None:
        return
    if wanted.type not in {"text", "json_object", "json_schema"}:
        raise invalid("/text/format/type", "unsupported", "Must be `text`, `json_object` or `json_schema`.")
    if wanted.type == "json_schema" and not (wanted.name and isinstance(wanted.schema_, dict)):
        raise invalid("/text/format", "required", "A format of the type `json_schema` needs `name` and `schema`.")
    refuse_parameters(wanted.unknown, "/text/format")


def check_item(item: InputItem, pointer: str, model: Model | None) -> None:
    """Raise InvalidRequest or UnsupportedContent for an item that ``model`` cannot get; without one, only text fits."""
    required = _REQUIRED.get(item.type)
    if required is None:
        raise invalid(f"{pointer}/type", "unsupported", ITEMS)
    for name in required:
        if getattr(item, name) is None or (name in _NEVER_BLANK and not getattr(item, name)):
            raise invalid(f"{pointer}/{name}", "required", "This field is required.")
    others = [name for name in InputItem.model_fields if name not in _IGNORED.union(STORED_MEMBERS[item.type])]
    refuse_parameters((*item.unknown, *(name for name in others if getattr(item, name))), pointer)
    for where, part in _parts(item):
        if item.type == "function_call_output" and part.type not in TEXT_PARTS:
            raise unsupported_type(f"{pointer}{where}", "The output of a function is text. Send `input_text`.")
        _check_part(part, f"{pointer}{where}", model)


def _parts(item: InputItem) -> Iterator[tuple[str, InputPart]]:
    """Yield the parts of an item with their pointers in it."""
    for name in ("content", "output", "summary"):
        parts = getattr(item, name)
        for position, part in enumerate(parts if isinstance(parts, list) else ()):
            yield json_pointer(name, position), part


def _check_part(part: InputPart, pointer: str, model: Model | None) -> None:
    if model is None and part.type not in TEXT_PARTS:
        raise unsupported_type(pointer, "Only text is stored here. Send images and files as `input` of a response.")
    if model is not None and part.type == "input_image":
        if "vision" not in model.capabilities:
            raise errors.UnsupportedContent
        if bool(part.image_url) == bool(part.file_id):
            detail = "Send either the data or address of the image as `image_url`, or the `file_id` of an image."
            raise invalid(f"{pointer}/image_url", "required", detail)
        if part.file_id:
            check_file_id(part.file_id)
        else:
            check_image(part.image_url or "", f"{pointer}/image_url", model, files=False)
    elif part.type == "input_file":
        check_file(part.model_dump(), pointer)
    elif part.type not in TEXT_PARTS:
        raise unsupported_type(
            pointer, "Parts of the types `input_text`, `input_image` and `input_file` are supported."
        )
    others = (name for name in _PART_MEMBERS if name not in _MEMBERS_OF_PARTS.get(part.type, _MEMBERS_OF_TEXT))
    refuse_parameters((*part.unknown, *(name for name in others if getattr(part, name))), pointer)
