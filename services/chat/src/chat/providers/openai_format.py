"""Wire format of OpenAI's chat completions."""

from typing import Any

from chat.catalogue import Target
from chat.generation import Prompt
from chat.providers.call_signatures import with_plain_ids
from chat.providers.parsing.chunks import ChunkParser

GEMINI = "gemini"
"""Part of the names of models that require the signatures of calls back. Other servers may refuse them."""


class OpenAIFormat:
    """Chat completions.

    ``limit`` is the member with the maximum number of tokens. ``developers``: the server knows the role `developer`.
    """

    path = "/chat/completions"
    parser = ChunkParser

    def __init__(self, *, limit: str, developers: bool = True) -> None:
        self._limit, self._developers = limit, developers

    def headers(self, target: Target) -> dict[str, str]:
        """Return the API key as a bearer token."""
        return {"Authorization": f"Bearer {target.api_key}"} if target.api_key else {}

    def body(self, provider_model: str, prompt: Prompt) -> dict[str, Any]:
        """Return the body of a streamed completion with its usage."""
        signed = GEMINI in provider_model.lower()
        body: dict[str, Any] = {
            **(prompt.options or {}),
            "model": provider_model,
            "messages": [self._message(message, signed=signed) for message in prompt.messages],
            self._limit: prompt.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if prompt.temperature is not None:
            body["temperature"] = prompt.temperature
        return body

    def _message(self, message: dict[str, Any], *, signed: bool) -> dict[str, Any]:
        if message["role"] == "developer" and not self._developers:
            return {**message, "role": "system"}
        return with_plain_ids(message, signed=signed)
