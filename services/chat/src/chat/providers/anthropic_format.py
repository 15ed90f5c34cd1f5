"""Wire format of Anthropic's Messages API."""

from collections.abc import Mapping, Sequence
from typing import Any

from chat.catalogue import Target
from chat.errors import ProviderFailure
from chat.generation import Prompt
from chat.providers.anthropic_events import MessageParser
from chat.providers.anthropic_prompt import answers_results, conversation_of
from chat.providers.failures import AttemptFailed

VERSION = "2023-06-01"
"""Version of the API, which every request names."""
MAX_TEMPERATURE = 1.0
MIN_THINKING_BUDGET = 1024
JSON_INSTRUCTION = "Answer with one JSON object and nothing else."
"""Stands for the `response_format` `json_object`, which the API does not have."""
_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_EFFORTS = {"none": "low", "minimal": "low"}
"""Efforts of OpenAI that Anthropic does not have, by the nearest one."""


class AnthropicFormat:
    """Messages of Anthropic's API."""

    path = "/messages"
    parser = MessageParser

    def headers(self, target: Target) -> dict[str, str]:
        """Return the API key and the version of the API."""
        key = {"x-api-key": target.api_key} if target.api_key else {}
        return {"anthropic-version": VERSION, **key}

    def body(self, provider_model: str, prompt: Prompt) -> dict[str, Any]:
        """Return the body of a streamed message.

        Raises AttemptFailed for options and calls that do not have the form of OpenAI's API. Nobody has checked them:
        other servers refuse them themselves.
        """
        try:
            return _body(provider_model, prompt)
        except (AttributeError, KeyError, TypeError) as error:
            raise AttemptFailed(ProviderFailure(), retryable=False) from error


def _body(provider_model: str, prompt: Prompt) -> dict[str, Any]:
    options = prompt.options or {}
    system, messages = conversation_of(prompt.messages)
    if _response_format(options) == "json_object":
        system = f"{system}\n\n{JSON_INSTRUCTION}" if system else JSON_INSTRUCTION
    if not messages:  # the API requires a question
        system, messages = "", [{"role": "user", "content": [{"type": "text", "text": system}]}]
    body: dict[str, Any] = {
        "model": provider_model,
        "max_tokens": prompt.max_tokens,
        "messages": messages,
        "stream": True,
        **(_tools(options) or _called_tools(messages)),
        **_output(options),
    }
    if system:
        body["system"] = system
    stop = options.get("stop")
    if found := [text for text in ([stop] if isinstance(stop, str) else stop or ()) if text.strip()]:
        body["stop_sequences"] = found
    if options.get("user"):
        body["metadata"] = {"user_id": options["user"]}
    # Without the signatures of the model's thinking, an answer to tool results can not go on with it.
    thinking = None if answers_results(messages) else _thinking(options.get("thinking"), prompt.max_tokens)
    return {**body, **({"thinking": thinking} if thinking else _sampling(prompt, options))}


def _sampling(prompt: Prompt, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters. Newer models accept only one of temperature and ``top_p``."""
    found = {name: options[name] for name in ("top_k", "top_p") if options.get(name) is not None}
    if prompt.temperature is not None:
        found.pop("top_p", None)
        found["temperature"] = min(prompt.temperature, MAX_TEMPERATURE)
    return found


def _thinking(asked: Any, max_tokens: int) -> dict[str, Any] | None:
    """Return the thinking configuration, with a budget that is part of the answer's length."""
    if not isinstance(asked, dict) or asked.get("type") == "disabled":
        return None
    budget = asked.get("budget_tokens")
    if not isinstance(budget, int) or budget < max_tokens:
        return asked
    return {**asked, "budget_tokens": max_tokens - 1} if max_tokens > MIN_THINKING_BUDGET else None


def _output(options: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if effort := options.get("reasoning_effort"):
        found["effort"] = _EFFORTS.get(effort, effort)
    if _response_format(options) == "json_schema":
        schema = options["response_format"].get("json_schema")
        found["format"] = {"type": "json_schema", "schema": schema.get("schema") if isinstance(schema, dict) else None}
    return {"output_config": found} if found else {}


def _response_format(options: Mapping[str, Any]) -> Any:
    found = options.get("response_format")
    return found.get("type") if isinstance(found, dict) else None


def _tools(options: Mapping[str, Any]) -> dict[str, Any]:
    tools = [_tool(tool["function"]) for tool in options.get("tools") or ()]
    if not tools:
        return {}
    asked = options.get("tool_choice") or "auto"
    choice: dict[str, Any] = (
        {"type": _CHOICES[asked]} if isinstance(asked, str) else {"type": "tool", "name": asked["function"]["name"]}
    )
    if options.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    return {"tools": tools} if choice == {"type": "auto"} else {"tools": tools, "tool_choice": choice}


def _called_tools(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return definitions of the tools of earlier calls. The API refuses calls in a prompt without any tools."""
    blocks = (block for message in messages for block in message["content"])
    names = dict.fromkeys(block["name"] for block in blocks if block["type"] == "tool_use")
    tools = [_tool({"name": name}) for name in names]
    return {"tools": tools, "tool_choice": {"type": "none"}} if tools else {}


def _tool(function: dict[str, Any]) -> dict[str, Any]:
    known = {name: function[name] for name in ("name", "description", "strict") if function.get(name) is not None}
    return {**known, "input_schema": function.get("parameters") or {"type": "object", "properties": {}}}
