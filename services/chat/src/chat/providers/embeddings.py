"""Embeddings of OpenAI-compatible servers: one request, one bounded JSON answer."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import aiohttp
import orjson

from chat.catalogue import Target
from chat.errors import ProviderFailure, ProviderTimeout
from chat.generation import AnswerChunk, ChunkSink, EmbeddingCall, Prompt
from chat.providers.failures import AttemptFailed
from chat.providers.http_provider import HttpProvider
from chat.providers.openai_format import OpenAIFormat
from chat.providers.parsing.reported_usage import MAX_COUNT
from parley.process.timeouts import at_most
from parley_events.parts import Usage

MAX_RESULT_BYTES = 16_777_216
"""Maximum size of a provider's answer: 2,048 embeddings of 1,536 numbers in base64."""


class EmbeddingFormat(OpenAIFormat):
    """OpenAI's embeddings. The body is that of the call, not of the prompt."""

    path = "/embeddings"

    def __init__(self, call: EmbeddingCall) -> None:
        super().__init__(limit="")
        self._call = call

    def body(self, provider_model: str, prompt: Prompt) -> dict[str, Any]:  # noqa: ARG002 - the call has the body
        """Return the body of the call with the name of the provider's model."""
        return {**self._call.body, "model": provider_model}


class EmbeddingProvider:
    """Client of one target for one call."""

    def __init__(self, session: aiohttp.ClientSession, target: Target, call: EmbeddingCall, *, timeout: float) -> None:
        """Set the timeout in seconds for the response head, and again for its body."""
        self._http = HttpProvider(session, target, EmbeddingFormat(call), timeout=timeout)
        self._call, self._timeout = call, timeout

    async def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Put the result into the call and yield its usage; raises AttemptFailed."""
        del sink  # there is one batch
        response = await self._http.post(provider_model, prompt)
        try:
            answer = await self._read(response)
        finally:
            response.close()
        self._call.result = embeddings_of(answer, self._call.inputs)
        yield [AnswerChunk(finish_reason="stop", usage=_usage(answer, self._call))]

    async def _read(self, response: aiohttp.ClientResponse) -> Any:
        body = bytearray()
        try:
            async with at_most(self._timeout) as wait:
                async for part in response.content.iter_any():
                    body += part
                    if len(body) > MAX_RESULT_BYTES:
                        raise AttemptFailed(ProviderFailure(), retryable=False)
        except (aiohttp.ClientError, OSError) as error:
            raise AttemptFailed(ProviderFailure(), retryable=True) from error
        if wait.expired:
            raise AttemptFailed(ProviderTimeout(), retryable=False, server_failed=True)
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise AttemptFailed(ProviderFailure(), retryable=False) from error


def embeddings_of(answer: Any, inputs: int) -> list[dict[str, Any]]:
    """Return the embeddings of a provider's answer by the position of their input; raises AttemptFailed."""
    data = answer.get("data") if isinstance(answer, dict) else None
    listed = [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []
    by_index = {index: each for each in listed if isinstance(index := each.get("index"), int)}
    if by_index.keys() == set(range(len(listed))):  # else the server numbers them wrongly, and their order counts
        listed = [by_index[index] for index in range(len(listed))]
    found = [each.get("embedding") for each in listed]
    if len(found) != inputs or not all(each and isinstance(each, str | list) for each in found):
        raise AttemptFailed(ProviderFailure(), retryable=False)
    return [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(found)]


def _usage(answer: dict[str, Any], call: EmbeddingCall) -> Usage | None:
    """Return the reported usage, None if it cannot be true: no token is shorter than a byte."""
    usage = answer.get("usage")
    tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    longest = min(MAX_COUNT, call.longest)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not 0 < tokens <= longest:
        return None
    return Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
