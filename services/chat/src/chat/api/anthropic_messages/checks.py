"""Checks of ``POST /v1/messages``: nothing that a client asks for is dropped silently."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from chat import errors
from chat.api.file_checks import check_file_id, check_image
from chat.api.request_checks import (
    capabilities,
    invalid,
    refuse_options,
    refuse_parameters,
    require_tools,
    unsupported_type,
)
from chat.catalogue import Catalogue, Model
from chat.files.model import IMAGE_TYPES
from chat.protocols.anthropic_messages.prompt import PLACES, address_of, options_of
from chat.protocols.anthropic_messages.schemas import InputBlock, MessageRequest, PromptRequest
from chat.protocols.openai_chat.schemas import OpenModel

BLOCKS: dict[str, dict[str, tuple[str, ...]]] = {
    "user": {"text": ("text",), "image": ("source",), "document": ("source",), "tool_result": ("tool_use_id",)},
    "system": {"text": ("text",)},
    "assistant": {
        "text": ("text",),
        "tool_use": ("id", "name", "input"),
        "thinking": ("thinking",),
        "redacted_thinking": ("data",),
    },
}
"""Required members of content blocks, by role and type."""
_EVERYWHERE = frozenset({"type", "cache_control"})
_OPTIONAL: dict[str, tuple[str, ...]] = {
    "text": ("citations",),
    "image": (),
    "document": ("title", "context", "citations"),
    "tool_result": ("content", "is_error"),
    "tool_use": ("caller",),
    "thinking": ("signature",),
    "redacted_thinking": (),
}
"""Other members of content blocks, by type."""
_SOURCES = {"base64": ("media_type", "data"), "url": ("url",), "file": ("file_id",)}
_DOCUMENT_SOURCES = {"base64": ("media_type", "data"), "text": ("media_type", "data"), "file": ("file_id",)}
_DOCUMENT_TYPES = {"base64": "application/pdf", "text": "text/plain"}
_THINKING = ("enabled", "disabled", "adaptive")
"""Types of ``thinking``: a tuple, because the given one may be any JSON value."""


def check(body: PromptRequest, catalogue: Catalogue, allows: Callable[[str], bool]) -> Model:
    """Return the model; raise InvalidRequest, UnsupportedContent or ModelNotFound."""
    model = catalogue.find(body.model, allows)
    _refuse_thread(body)
    for pointer, part in _parts(body):
        refuse_parameters(part.others(), pointer)
    _check_tools(body, model)
    if body.thinking is not None and not (isinstance(body.thinking, dict) and body.thinking.get("type") in _THINKING):
        raise invalid("/thinking", "unsupported", "Must be an object of the type `enabled`, `disabled` or `adaptive`.")
    _check_format(body)
    refuse_options(model, options_of(body), places=PLACES)
    for position, message in enumerate(body.messages):
        for number, block in enumerate(message.blocks):
            _check_block(block, message.role, f"/messages/{position}/content/{number}", model)
    _check_order(body)
    return model


def needed_capabilities(body: PromptRequest) -> frozenset[str]:
    """Return the capabilities that a model needs to answer the request."""
    images = [block for message in body.messages for block in message.blocks if block.type == "image"]
    urls = any(image.source["type"] == "url" for image in images)
    return capabilities(images=bool(images), calls=_requires_call(body), urls=urls)


def _parts(body: PromptRequest) -> Iterator[tuple[str, OpenModel]]:
    """Yield the parts of a request that may have unknown members, with their pointers."""
    yield "", body
    if body.tool_choice is not None:
        yield "/tool_choice", body.tool_choice
    if isinstance(body, MessageRequest) and body.metadata is not None:
        yield "/metadata", body.metadata
    if body.output_config is not None:
        yield "/output_config", body.output_config
        if body.output_config.format is not None:
            yield "/output_config/format", body.output_config.format
    for number, block in enumerate(body.system if isinstance(body.system, list) else ()):
        yield f"/system/{number}", block
    for position, message in enumerate(body.messages):
        yield f"/messages/{position}", message
        for number, each in enumerate(message.blocks):
            pointer = f"/messages/{position}/content/{number}"
            yield pointer, each
            for inner, result in enumerate(each.content if isinstance(each.content, list) else ()):
                yield f"{pointer}/content/{inner}", result


def _refuse_thread(body: PromptRequest) -> None:
    """Raise InvalidRequest for a thread, a conversation that the server keeps.

    The tool runner of Anthropic's SDKs asks for one. With these details it sends the whole conversation instead.
    """
    if "thread" in body.others():
        detail = "Threads are not offered. Send the whole conversation without `thread`."
        refusal = invalid("/thread", "unsupported_parameter", detail)
        refusal.anthropic_details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        raise refusal


def _check_format(body: PromptRequest) -> None:
    wanted = body.output_config.format if body.output_config is not None else None
    if wanted is not None and wanted.type != "json_schema":
        raise invalid("/output_config/format/type", "unsupported", "Must be `json_schema`.")
    if wanted is not None and not isinstance(wanted.schema_, dict):
        raise invalid("/output_config/format/schema", "required", "Must be an object: a JSON schema.")


def _check_tools(body: PromptRequest, model: Model) -> None:
    for position, tool in enumerate(body.tools or ()):
        pointer = f"/tools/{position}"
        if tool.type != "custom":
            raise invalid(f"{pointer}/type", "unsupported", "Anthropic's tools are not offered: send `custom`.")
        if not isinstance(tool.input_schema, dict):
            raise invalid(f"{pointer}/input_schema", "required", "Must be an object: a JSON schema.")
        refuse_parameters(tool.others(), pointer)
    choice = body.tool_choice
    if choice is None:
        return
    if choice.type != "none" and not body.tools:
        raise invalid("/tool_choice", "unsupported", "A choice needs `tools`.")
    if choice.type == "tool" and choice.name not in {tool.name for tool in body.tools or ()}:
        raise invalid("/tool_choice/name", "unknown_tool", "Names a tool that is not in `tools`.")
    if _requires_call(body):
        require_tools(model)


def _requires_call(body: PromptRequest) -> bool:
    return body.tool_choice is not None and body.tool_choice.type in {"any", "tool"}


def _check_block(block: InputBlock, role: str, pointer: str, model: Model) -> None:
    required = BLOCKS[role].get(block.type)
    if required is None:
        detail = f"Blocks of the types {', '.join(f'`{name}`' for name in BLOCKS[role])} are supported for `{role}`."
        raise unsupported_type(pointer, detail)
    for name in required:
        if getattr(block, name) is None:
            raise invalid(f"{pointer}/{name}", "required", "This field is required.")
    others = (
        name for name in InputBlock.model_fields if name not in _EVERYWHERE.union(required, _OPTIONAL[block.type])
    )
    refuse_parameters((name for name in others if getattr(block, name)), pointer)
    if block.type == "image":
        if "vision" not in model.capabilities:
            raise errors.UnsupportedContent
        _check_source(block.source, f"{pointer}/source", model)
    if block.type == "document":
        _check_document(block, pointer)
    if block.type == "tool_use" and not isinstance(block.input, dict):
        raise invalid(f"{pointer}/input", "object_type", "Must be an object.")
    for number, part in enumerate(block.content if isinstance(block.content, list) else ()):
        if part.type != "text" or part.text is None:
            detail = "Results of tools are text here: send blocks of the type `text` with `text`."
            raise unsupported_type(f"{pointer}/content/{number}", detail)


def _check_document(block: InputBlock, pointer: str) -> None:
    cites = isinstance(block.citations, dict) and block.citations.get("enabled")
    asked = {"context": block.context, "citations": cites}
    refuse_parameters((name for name, value in asked.items() if value), pointer)
    kind, _ = _members_of_source(block.source, f"{pointer}/source", _DOCUMENT_SOURCES)
    media_type = _DOCUMENT_TYPES.get(kind)
    if media_type is not None and block.source["media_type"] != media_type:
        raise invalid(f"{pointer}/source/media_type", "unsupported", f"Must be `{media_type}`.")
    if kind == "file":
        check_file_id(block.source["file_id"])


def _members_of_source(source: Any, pointer: str, kinds: dict[str, tuple[str, ...]]) -> tuple[str, tuple[str, ...]]:
    """Return the type of a source and its required members; raises InvalidRequest."""
    kind = source.get("type") if isinstance(source, dict) else None
    required = kinds.get(kind) if isinstance(kind, str) else None
    if not isinstance(kind, str) or required is None:
        raise invalid(f"{pointer}/type", "unsupported", f"Must be one of {', '.join(f'`{name}`' for name in kinds)}.")
    for name in required:
        if not (isinstance(source.get(name), str) and source[name]):
            raise invalid(f"{pointer}/{name}", "required", "This field is required.")
    refuse_parameters(sorted(source.keys() - {"type", *required}), pointer)
    return kind, required


def _check_source(source: Any, pointer: str, model: Model) -> None:
    kind, required = _members_of_source(source, pointer, _SOURCES)
    if kind == "base64" and source["media_type"] not in IMAGE_TYPES:
        raise invalid(f"{pointer}/media_type", "unsupported", f"Must be one of {', '.join(IMAGE_TYPES)}.")
    if kind == "file":
        check_file_id(source["file_id"])
    else:
        check_image(address_of(source), f"{pointer}/{required[-1]}", model, files=False)


def _check_order(body: PromptRequest) -> None:
    """Raise InvalidRequest for a call without a result, a result without a call, and messages that ask nothing."""
    calls: Counter[str | None] = Counter()
    for position, message in enumerate(body.messages):
        pointer = f"/messages/{position}"
        results = [(n, block.tool_use_id) for n, block in enumerate(message.blocks) if block.type == "tool_result"]
        for number, identifier in results:
            if not calls[identifier]:
                detail = "No unanswered `tool_use` block of the message before has this ID."
                raise invalid(f"{pointer}/content/{number}/tool_use_id", "unknown_call", detail)
            calls[identifier] -= 1
        if any(calls.values()):
            raise invalid(pointer, "missing_result", "Each `tool_use` block needs a `tool_result` in the next message.")
        if not message.blocks:
            raise invalid(f"{pointer}/content", "required", "At least one block is required.")
        if results and results[-1][0] >= len(results):
            raise invalid(f"{pointer}/content", "order", "Blocks of the type `tool_result` come first.")
        calls = Counter(block.id for block in message.blocks if block.type == "tool_use")
    if body.messages[-1].role != "user":
        detail = "The last message must be one of the user: the beginning of an answer cannot be given."
        raise invalid(f"/messages/{len(body.messages) - 1}/role", "unsupported", detail)
