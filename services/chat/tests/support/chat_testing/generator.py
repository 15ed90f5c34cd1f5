"""Scripted answer generator."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from chat.catalogue import Model
from chat.errors import ProviderFailure
from chat.generation import AnswerChunk, ChunkSink, EmbeddingCall, ModelSelected, Prompt, PromptFor
from chat.model import LogEntry
from parley_events.parts import Usage


@dataclass
class ScriptedGenerator:
    """An AnswerGenerator that yields ``chunks``, then raises ``failure`` or, with ``endless``, waits for ever.

    With ``silent``, the server never answers, and has the prompt if it ``takes_prompt``.
    """

    chunks: Sequence[AnswerChunk] = ()
    failure: ProviderFailure | None = None
    endless: bool = False
    silent: bool = False
    takes_prompt: bool = True
    prompts: list[Prompt] = field(default_factory=list)
    available: bool = True

    def is_available(self, model: Model) -> bool:
        return self.available

    down: frozenset[str] = frozenset()
    """Aliases of models that do not answer."""

    async def stream(
        self, models: Sequence[Model], prompt_for: PromptFor, sink: ChunkSink | None = None
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        for model in models:
            prompt = await prompt_for(model)
            if prompt is None:
                continue
            self.prompts.append(prompt)
            if model.alias not in self.down:
                break
        else:
            raise ProviderFailure
        prompt.call.is_open = self.silent and self.takes_prompt
        if self.silent:
            await asyncio.Event().wait()
        if self.failure is None or self.chunks:
            yield ModelSelected(model)
        for chunk in self.chunks:
            yield [chunk]
        if self.endless:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure


@dataclass
class ScriptedEmbeddings:
    """EmbeddingGenerators whose provider returns the number of each input, or what ``generator`` raises."""

    generator: ScriptedGenerator = field(default_factory=ScriptedGenerator)
    usage: Usage | None = field(default_factory=lambda: Usage(prompt_tokens=7, completion_tokens=0, total_tokens=7))
    calls: list[EmbeddingCall] = field(default_factory=list)

    def embedding(self, call: EmbeddingCall) -> ScriptedGenerator:
        self.calls.append(call)
        call.result = [{"object": "embedding", "index": n, "embedding": [float(n)]} for n in range(call.inputs)]
        self.generator.chunks = [AnswerChunk(finish_reason="stop", usage=self.usage)]
        return self.generator


def answer_of(*texts: str, finish_reason: str = "stop", usage: Usage | None = None) -> list[AnswerChunk]:
    """Return the chunks of a complete answer."""
    return [*(AnswerChunk(LogEntry(text)) for text in texts), AnswerChunk(finish_reason=finish_reason, usage=usage)]


def call_of(call_id: str, *, index: int = 0) -> list[AnswerChunk]:
    """Return an answer that calls the function ``weather``."""
    delta = {"index": index, "id": call_id, "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    return [AnswerChunk(LogEntry("", (delta,))), AnswerChunk(finish_reason="tool_calls")]
