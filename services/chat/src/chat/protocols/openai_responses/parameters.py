"""Parameters of a response: as providers take them (chat completions), as they are stored, and as they are repeated."""

from typing import Any

from chat.protocols.openai_responses.schemas import FORWARDED, FunctionTool, InputItem, InputPart, ResponseRequest

_REPEATED = (
    *("instructions", "max_output_tokens", "temperature", "top_p", "parallel_tool_calls"),
    *("top_logprobs", "truncation", "background", "store", "user", "safety_identifier", "prompt_cache_key"),
)
LOGPROBS = "message.output_text.logprobs"
"""Value of ``include`` that asks for the log probabilities of the answer's tokens."""
_PART_MEMBERS = {"type", "text", "refusal", "image_url", "file_id", "filename", "file_data", "detail"}
STORED_MEMBERS = {
    "message": ("role", "content", "phase"),
    "function_call": ("call_id", "name", "arguments"),
    "function_call_output": ("call_id", "output"),
    "reasoning": ("summary", "content", "encrypted_content"),
}
"""Members of items that are stored, by type."""


def item_of(item: InputItem) -> dict[str, Any]:
    """Return an item as it is stored."""
    found = {name: value for name in STORED_MEMBERS[item.type] if (value := _value(getattr(item, name))) is not None}
    return {"type": item.type, **({"summary": []} if item.type == "reasoning" else {}), **found}


def is_one_message(items: list[dict[str, Any]]) -> bool:
    """Tell whether the input is nothing but a user's text, which the turn has already."""
    return len(items) == 1 and items[0].get("role") == "user" and isinstance(items[0]["content"], str)


def options_of(body: ResponseRequest) -> dict[str, Any]:
    """Return the parameters to forward to the provider."""
    found = {name: value for name in FORWARDED if (value := getattr(body, name)) is not None}
    tools = _tools(body)
    if tools:
        found["tools"] = [_tool(tool) for tool in tools]
        if body.tool_choice is not None:
            found["tool_choice"] = _tool_choice(body.tool_choice)
    else:
        found.pop("parallel_tool_calls", None)
    if body.reasoning is not None and body.reasoning.effort is not None:
        found["reasoning_effort"] = body.reasoning.effort
    if body.text is not None:
        found |= _text_options(body)
    if LOGPROBS in (body.include or ()):
        found |= {"logprobs": True, **({"top_logprobs": body.top_logprobs} if body.top_logprobs else {})}
    return found | body.others()


def repeated(body: ResponseRequest) -> dict[str, Any]:
    """Return the members that the response repeats, as far as they differ from the defaults."""
    found = {name: value for name in _REPEATED if (value := getattr(body, name)) is not None}
    if body.tools:
        found["tools"] = [_repeated_tool(tool) for tool in body.tools]
    if body.tool_choice is not None:
        found["tool_choice"] = _repeated_tool_choice(body.tool_choice)
    if body.reasoning is not None:
        found["reasoning"] = {"effort": body.reasoning.effort, "summary": body.reasoning.summary}
    if body.text is not None:
        given = body.text.model_dump(exclude_none=True, by_alias=True)
        found["text"] = {**given, "format": _repeated_format(given.get("format", {"type": "text"}))}
    return found


def _value(value: Any) -> Any:
    return [_part(part) for part in value] if isinstance(value, list) else value


def _part(part: InputPart) -> dict[str, Any]:
    known = part.model_dump(exclude_none=True, include=_PART_MEMBERS)
    if part.type == "output_text":
        return {**known, "annotations": part.annotations or [], "logprobs": part.logprobs or []}
    return {"detail": "auto", **known} if part.type == "input_image" else known


def _tools(body: ResponseRequest) -> list[FunctionTool]:
    """Return the tools that the model may use: an ``allowed_tools`` choice leaves the others out."""
    choice = body.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        names = {tool["name"] for tool in choice["tools"]}
        return [tool for tool in body.tools or () if tool.name in names]
    return body.tools or []


def _tool(tool: FunctionTool) -> dict[str, Any]:
    return {"type": "function", "function": tool.model_dump(exclude_none=True, exclude={"type"})}


def _repeated_tool(tool: FunctionTool) -> dict[str, Any]:
    members = {"name": tool.name, "description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    return {"type": "function", **members}


def _repeated_tool_choice(choice: Any) -> Any:
    if isinstance(choice, str) or choice["type"] != "allowed_tools":
        return choice
    tools = [{"type": "function", "name": tool["name"]} for tool in choice["tools"]]
    return {"type": "allowed_tools", "mode": choice.get("mode", "auto"), "tools": tools}


def _repeated_format(given: dict[str, Any]) -> dict[str, Any]:
    return {"description": None, "strict": False, **given} if given["type"] == "json_schema" else given


def _tool_choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return choice
    if choice["type"] == "allowed_tools":
        return choice.get("mode", "auto")
    return {"type": "function", "function": {"name": choice["name"]}}


def _text_options(body: ResponseRequest) -> dict[str, Any]:
    assert body.text is not None
    found: dict[str, Any] = {"verbosity": body.text.verbosity} if body.text.verbosity is not None else {}
    wanted = body.text.format
    if wanted is None or wanted.type == "text":
        return found
    if wanted.type == "json_object":
        return {**found, "response_format": {"type": "json_object"}}
    schema = wanted.model_dump(exclude_none=True, by_alias=True, exclude={"type"})
    return {**found, "response_format": {"type": "json_schema", "json_schema": schema}}
