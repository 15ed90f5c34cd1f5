"""Prompts, streamed answers, and the interfaces of model providers."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from chat.catalogue import Model
from chat.model import LogEntry
from parley_events.parts import Usage

UNUSABLE_USAGE = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0, estimated=True)
"""Reported usage whose counts cannot be true. Parley estimates them."""


@dataclass(frozen=True, slots=True)
class PromptImage:
    """A file that messages refer to, which is loaded before the call."""

    media_type: str
    size: int


@dataclass(slots=True)
class OpenCall:
    """The call that sends a prompt. The client of the model's server sets its state, and the turn's runner reads it."""

    is_open: bool = False
    """Whether a server has the prompt. A server charges for a prompt even if the turn is cancelled."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages and options of a provider call, in OpenAI's format."""

    messages: Sequence[dict[str, Any]]
    max_tokens: int
    temperature: float | None = None
    options: dict[str, Any] | None = None
    images: Mapping[UUID, PromptImage] = field(default_factory=dict)
    """The files that messages refer to, as far as they exist."""
    user_id: UUID | None = field(default=None, compare=False)
    """Who asks. Calls that wait for the same resource get it of each user in turn."""
    call: OpenCall = field(default_factory=OpenCall, compare=False)


def has_images(prompt: Prompt) -> bool:
    """Tell whether a message shows an image."""
    contents = (message.get("content") for message in prompt.messages)
    return any(part.get("type") == "image_url" for parts in contents if isinstance(parts, list) for part in parts)


class AnswerChunk(NamedTuple):
    """Part of a streamed answer. The last chunks have ``finish_reason``, and ``usage`` if the provider counts."""

    entry: LogEntry | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    response_model: str | None = None
    """Model named by the provider, sent with the usage."""


ChunkSink = Callable[[Sequence[AnswerChunk]], None]
"""Takes a batch of chunks while the generator of the answer waits for the next one, which it then does not yield.

An exception ends the answer as if the caller of the generator had raised it.
"""


class Provider(Protocol):
    """A model server."""

    def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Yield the answer in batches of chunks; raises ProviderFailure. Closing the generator ends the call.

        Batches after the first may go to ``sink``, which takes less time than to wake a task for each.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelSelected:
    """The model that answers, yielded before its first chunk."""

    model: Model


PromptFor = Callable[[Model], Awaitable[Prompt | None]]
"""Returns the prompt for a model before its first attempt, None if the model must not answer."""


@dataclass(slots=True)
class EmbeddingCall:
    """A call for embeddings. ``result`` is the provider's list of them, once the model has answered."""

    body: dict[str, Any]
    inputs: int
    longest: int
    """The most tokens that the inputs can have: their bytes."""
    result: list[dict[str, Any]] = field(default_factory=list)


class EmbeddingGenerators(Protocol):
    """Makes generators of embeddings."""

    def embedding(self, call: EmbeddingCall) -> "AnswerGenerator":
        """Return a generator without text that puts its result into the call."""
        ...


class AnswerGenerator(Protocol):
    """Generates an answer with the first of several models that responds."""

    def stream(
        self, models: Sequence[Model], prompt_for: PromptFor, sink: ChunkSink | None = None
    ) -> AsyncGenerator[ModelSelected | Sequence[AnswerChunk], None]:
        """Yield the selected model, then batches of chunks; raises ProviderFailure if no model answers.

        Batches after the first may go to ``sink``.
        """
        ...

    def is_available(self, model: Model) -> bool:
        """Tell whether requests are sent to the model's server."""
        ...
