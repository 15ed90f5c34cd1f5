"""Messages and options of a request as providers take them: OpenAI's chat completions."""

from collections.abc import Iterable
from typing import Any

import orjson

from chat.file_references import data_part
from chat.files.inline_data import encoded_text
from chat.input_items import part_of_file, reference_of
from chat.protocols.anthropic_messages.schemas import (
    InputBlock,
    InputMessage,
    MessageRequest,
    OutputConfig,
    PromptRequest,
)

Message = dict[str, Any]
PLACES = {
    "stop": "/stop_sequences",
    "parallel_tool_calls": "/tool_choice/disable_parallel_tool_use",
    "reasoning_effort": "/output_config/effort",
    "response_format": "/output_config/format",
}
"""Pointers of members of a request by the option that they become, where the names differ."""
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
_FUNCTION = ["name", "description", "strict"]
_SAMPLING = {"stop_sequences": "stop", "top_p": "top_p", "top_k": "top_k"}
FORMAT_NAME = "answer"
"""Name of the answer's schema, which OpenAI's API requires."""
FAILED_RESULT = "Error: "
"""Begins the result of a failed tool: other servers have no member that says so."""


def messages_of(body: PromptRequest, *, reasoning: bool) -> list[Message]:
    """Return the messages to forward. ``reasoning``: with the model's thinking, for servers that take it back."""
    found: list[Message] = [{"role": "system", "content": body.system_text}] if body.system_text else []
    for message in body.messages:
        if message.role == "assistant":
            found.append(_answer(message, reasoning=reasoning))
        else:
            found += _question(message)
    return found


def user_text(messages: Iterable[Message]) -> str:
    """Return the text of the user's last message."""
    found = [message["content"] for message in messages if message["role"] == "user"]
    if not found:
        return ""
    content = found[-1]
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


def options_of(body: PromptRequest) -> dict[str, Any]:
    """Return the parameters to forward to the provider."""
    found: dict[str, Any] = {}
    if body.tools:
        found["tools"] = [
            {"type": "function", "function": _function(tool.model_dump(exclude_none=True))} for tool in body.tools
        ]
    if body.tool_choice is not None:
        named = {"type": "function", "function": {"name": body.tool_choice.name}}
        found["tool_choice"] = _CHOICES.get(body.tool_choice.type, named)
        if body.tool_choice.disable_parallel_tool_use:
            found["parallel_tool_calls"] = False
    if isinstance(body.thinking, dict) and body.thinking.get("type") != "disabled":
        found["thinking"] = body.thinking
    if body.output_config is not None:
        found |= _output(body.output_config)
    if isinstance(body, MessageRequest):
        found |= {option: value for name, option in _SAMPLING.items() if (value := getattr(body, name)) is not None}
    if not found.get("stop", True):
        del found["stop"]
    return found


def _output(config: OutputConfig) -> dict[str, Any]:
    found: dict[str, Any] = {"reasoning_effort": config.effort} if config.effort else {}
    if config.format is not None:
        schema = {"name": FORMAT_NAME, "schema": config.format.schema_}
        found["response_format"] = {"type": "json_schema", "json_schema": schema}
    return found


def _function(tool: dict[str, Any]) -> dict[str, Any]:
    return {**{name: tool[name] for name in _FUNCTION if name in tool}, "parameters": tool["input_schema"]}


def _question(message: InputMessage) -> list[Message]:
    """Return tool results as messages of their own, followed by what the user, or the system, says."""
    found: list[Message] = [
        {"role": "tool", "tool_call_id": block.tool_use_id, "content": _result(block)}
        for block in message.blocks
        if block.type == "tool_result"
    ]
    parts = [_part(block) for block in message.blocks if block.type != "tool_result"]
    if not parts:
        return found
    if all(part["type"] == "text" for part in parts):
        return [*found, {"role": message.role, "content": "\n".join(part["text"] for part in parts)}]
    return [*found, {"role": "user", "content": parts}]


def _result(block: InputBlock) -> str:
    content = block.content or ""
    text = content if isinstance(content, str) else "\n".join(part.text or "" for part in content)
    return FAILED_RESULT + text if block.is_error else text


def _part(block: InputBlock) -> dict[str, Any]:
    if block.type == "text":
        return {"type": "text", "text": block.text or ""}
    if block.type == "document":
        return _document(block)
    return {"type": "image_url", "image_url": {"url": address_of(block.source)}}


def _document(block: InputBlock) -> dict[str, Any]:
    source = block.source
    if source["type"] == "file":
        return part_of_file(source["file_id"])
    return data_part(block.title, encoded_text(source["data"]) if source["type"] == "text" else source["data"])


def address_of(source: dict[str, Any]) -> str:
    """Return the source of an image as an address: its own, its data, or a reference to a file."""
    if source["type"] == "file":
        return reference_of(source["file_id"])
    return source["url"] if source["type"] == "url" else f"data:{source['media_type']};base64,{source['data']}"


def _answer(message: InputMessage, *, reasoning: bool) -> Message:
    blocks = message.blocks
    text = "".join(block.text or "" for block in blocks if block.type == "text")
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    thought = "".join(block.thinking or "" for block in blocks if block.type == "thinking")
    found: Message = {"role": "assistant", "content": text if text or not calls else None}
    if calls:
        found["tool_calls"] = calls
    if thought and reasoning:
        found["reasoning_content"] = thought
    return found


def _call(block: InputBlock) -> dict[str, Any]:
    arguments = orjson.dumps(block.input).decode()
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}
