"""Limits of concurrent calls per model server."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from chat.catalogue import Target
from chat.generation import AnswerChunk, ChunkSink, Prompt
from chat.model import LogEntry
from chat.providers.call_slots import CallSlots
from chat.providers.failures import AttemptFailed
from parley.ids import new_id
from parley_testing import eventually

TARGET = Target("http://own/v1", None, max_concurrent=2)
PROMPT = Prompt([{"role": "user", "content": "Hi"}], 10)
CHUNKS = [AnswerChunk(LogEntry("a"))]


class CountedProvider:
    """A provider that counts its open answers; each ends when ``end`` is set."""

    def __init__(self) -> None:
        self.open, self.end = 0, asyncio.Event()

    async def stream(
        self, provider_model: str, prompt: Prompt, sink: ChunkSink | None = None
    ) -> AsyncGenerator[Sequence[AnswerChunk], None]:
        self.open += 1
        try:
            yield CHUNKS
            await self.end.wait()
        finally:
            self.open -= 1


async def test_calls_beyond_the_limit_of_a_target_wait_and_the_wait_is_bounded() -> None:
    slots, provider = CallSlots(), CountedProvider()
    begun = [slots.limit(provider, TARGET, timeout=0.01).stream("m", PROMPT) for _ in range(2)]
    assert [await anext(answer) for answer in begun] == [CHUNKS, CHUNKS]
    with pytest.raises(AttemptFailed) as refused:
        await anext(slots.limit(provider, TARGET, timeout=0.01).stream("m", PROMPT))
    assert (refused.value.failure.code, refused.value.retryable, provider.open) == ("provider_unavailable", False, 2)
    other = slots.limit(provider, replace(TARGET, base_url="http://other/v1"), timeout=0.01).stream("m", PROMPT)
    assert await anext(other) == CHUNKS
    waiting = asyncio.create_task(anext(slots.limit(provider, TARGET, timeout=5).stream("m", PROMPT)))
    await begun[0].aclose()
    assert await waiting == CHUNKS
    assert provider.open == 3


async def test_a_slot_is_free_again_after_an_answer_a_failure_and_a_cancellation() -> None:
    slots, provider = CallSlots(), CountedProvider()
    provider.end.set()
    limited = slots.limit(provider, replace(TARGET, max_concurrent=1), timeout=0.01)
    for _ in range(3):
        assert [chunks async for chunks in limited.stream("m", PROMPT)] == [CHUNKS]
    provider.end.clear()
    (holding, waiting) = (limited.stream("m", PROMPT) for _ in range(2))
    assert await anext(holding) == CHUNKS
    cancelled = asyncio.ensure_future(anext(waiting))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait({cancelled})
    await holding.aclose()
    again = limited.stream("m", PROMPT)
    assert await anext(again) == CHUNKS
    await again.aclose()


async def test_waiting_calls_get_slots_of_each_user_in_turn() -> None:
    slots, provider, one, other = CallSlots(), CountedProvider(), new_id(), new_id()
    limited = slots.limit(provider, replace(TARGET, max_concurrent=1), timeout=60)
    served: list[UUID] = []

    async def call(user_id: UUID) -> None:
        async with contextlib.aclosing(limited.stream("m", replace(PROMPT, user_id=user_id))) as answer:
            await anext(answer)
            served.append(user_id)
            await provider.end.wait()

    calls = [asyncio.ensure_future(call(user_id)) for user_id in (one, one, one, one, other, other)]
    await eventually(lambda: served == [one])
    provider.end.set()
    await asyncio.gather(*calls)
    assert served == [one, other, one, other, one, one]


def test_a_target_without_a_limit_is_not_wrapped() -> None:
    provider = CountedProvider.__new__(CountedProvider)
    assert CallSlots().limit(provider, replace(TARGET, max_concurrent=None), timeout=1) is provider
