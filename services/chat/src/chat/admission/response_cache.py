"""Answering a question again as the same person's earlier turn was answered.

The index knows for a while which turn answered a question; the answer is read from that turn's row. So it is kept once,
and what was deleted there is not found here.
"""

import contextlib
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol
from uuid import UUID

import orjson

from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.generation import Prompt
from chat.metrics import ChatMetrics
from chat.model import LogEntry, Outcome, Turn
from chat.turn_store import TurnStore
from parley import times
from parley.errors import DependencyUnavailable
from parley_events.models import Usage

FORM = 1
"""Grows when the same question shall no longer be answered with what was noted before."""
NATURAL = frozenset({"stop", "tool_calls"})
LONGEST_ENTRY = 16_384
"""Characters; a client's WebSocket may refuse longer frames."""
NOTHING = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)


class ResponseIndex(Protocol):
    """Which turn answered a question last. Both raise DependencyUnavailable, after a short time."""

    async def find(self, question: bytes) -> UUID | None:
        """Return the turn that was noted for a question's digest, unless that was too long ago."""
        ...

    async def save(self, question: bytes, turn_id: UUID) -> None:
        """Note the turn that answered a question."""
        ...


@dataclass(frozen=True, slots=True)
class CacheKey:
    """What somebody asks of a model, as a digest that only the same question of the same person has, too."""

    digest: bytes
    user_id: UUID
    model: Model

    def is_answered_by(self, turn: Turn) -> bool:
        """Say whether a provider gave this person a whole answer in a turn, and it is still there."""
        whole = turn.status == "completed" and turn.finish_reason in NATURAL and bool(turn.entries)
        return whole and turn.user_id == self.user_id and not turn.cached


class ResponseCache:
    """Knows what each person has asked before."""

    def __init__(self, index: ResponseIndex, store: TurnStore, metrics: ChatMetrics) -> None:
        self._index, self._store = index, store
        self._lookups = {result: metrics.cache_lookups.labels(result) for result in ("hit", "miss", "error")}

    def lookup(self, ask: TurnRequest, model: Model, prompt: Prompt) -> "CacheLookup | None":
        """Return what a turn uses of the cache, None when its client wants nothing of it."""
        # Who regenerates wants another answer; it may well be the one that is given from now on.
        read, write = ask.reuse.read and ask.regenerate is None, ask.reuse.write
        if not read and not write:
            return None
        question = CacheKey(digest_of(ask.user_id, model, prompt), ask.user_id, model)
        return CacheLookup(self, question, read=read, write=write)

    async def find(self, question: CacheKey) -> Turn | None:
        """Return the turn that answered a question; what cannot be had in time is not there."""
        try:
            turn_id = await self._index.find(question.digest)
            turn = await self._store.get(turn_id) if turn_id is not None else None
        except DependencyUnavailable:
            self._lookups["error"].inc()
            return None
        found = turn if turn is not None and question.is_answered_by(turn) else None
        self._lookups["hit" if found else "miss"].inc()
        return found

    async def save(self, question: CacheKey, turn: Turn) -> None:
        """Note the turn that answered a question, if that can be done now and its answer be given again."""
        if question.is_answered_by(turn):
            with contextlib.suppress(DependencyUnavailable):
                await self._index.save(question.digest, turn.id)


class CacheLookup:
    """The cache as one turn uses it."""

    def __init__(self, cache: ResponseCache, question: CacheKey, *, read: bool, write: bool) -> None:
        self._cache, self._question, self._read, self._write = cache, question, read, write

    async def find(self) -> Turn | None:
        """Return the earlier turn whose answer is given again, None when the provider is to be asked."""
        return await self._cache.find(self._question) if self._read else None

    async def save(self, turn: Turn, by: Model) -> None:
        """Take note of the turn, which has ended; the answer of a fallback is none to keep to."""
        if self._write and by == self._question.model:
            await self._cache.save(self._question, turn)


def digest_of(user_id: UUID, model: Model, prompt: Prompt) -> bytes:
    """Return what only equal questions of one person to one model share."""
    options = prompt.options or {}
    asked = [list(prompt.messages), prompt.max_tokens, prompt.temperature, options]
    question = [FORM, str(user_id), model.target.base_url, model.provider_model, *asked]
    return hashlib.sha256(orjson.dumps(question, option=orjson.OPT_SORT_KEYS)).digest()


def cached_outcome(turn: Turn) -> Outcome:
    """Return the end of a turn that is answered like an earlier one: nothing was used, nothing is to pay."""
    assert turn.finish_reason is not None
    return Outcome(
        status="completed",
        finish_reason=turn.finish_reason,
        entries=tuple(_joined(turn.entries)),
        content=turn.content or "",
        tool_calls=turn.tool_calls,
        usage=NOTHING,
        cost=Decimal(0),
        price_version=None,
        provider=turn.provider,
        provider_model=turn.provider_model,
        error=None,
        finished_at=times.now(),
        cached=True,
    )


def _joined(entries: Sequence[LogEntry]) -> Iterator[LogEntry]:
    """Yield fewer entries with the same content: nobody waits for the next one."""
    for is_text, group in itertools.groupby(entries, key=lambda entry: not entry.tool_calls):
        if not is_text:
            yield from group
            continue
        text = "".join(entry.text for entry in group)
        for start in range(0, len(text), LONGEST_ENTRY):
            yield LogEntry(text[start : start + LONGEST_ENTRY])
