"""Limits of concurrent calls per model server."""

import contextlib
from collections.abc import AsyncGenerator, Sequence

from chat.catalogue import Target
from chat.errors import ProviderUnavailable
from chat.generation import AnswerChunk, ChunkSink, Prompt, Provider
from chat.providers.failures import AttemptFailed
from parley.process.fair_slots import FairSlots
from parley.process.timeouts import at_most


class CallSlots:
    """Slots by base URL. Models of the same server share them, and waiting calls get them of each user in turn."""

    def __init__(self) -> None:
        self._by_url: dict[str, FairSlots] = {}

    def limit(self, provider: Provider, target: Target, *, timeout: float) -> Provider:
        """Return the provider with the target's limit. A call waits at most ``timeout`` seconds for a slot."""
        if target.max_concurrent is None:
            return provider
        slots = self._by_url.setdefault(target.base_url, FairSlots(target.max_concurrent))
        return LimitedProvider(provider, slots, timeout=timeout)


class LimitedProvider:
    """Provider wrapper that holds a slot from the request to the end of the answer."""

    def __init__(self, provider: Provider, slots: FairSlots, *, timeout: float) -> None:
        self._provider, self._slots, self._timeout = provider, slots, timeout

    async def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        """Stream from the wrapped provider; raises AttemptFailed if no slot becomes free in time."""
        user_id = prompt.user_id
        async with at_most(self._timeout) as wait:
            await self._slots.acquire(user_id)
        if wait.expired:
            raise AttemptFailed(ProviderUnavailable(retry_after=1), retryable=False)
        try:
            async with contextlib.aclosing(self._provider.stream(provider_model, prompt, sink)) as found:
                del prompt
                async for chunks in found:
                    yield chunks
        finally:
            self._slots.release(user_id)
