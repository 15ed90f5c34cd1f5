"""Response cache: answers a repeated prompt of a user with the answer of the user's earlier turn.

An index maps a digest of the prompt to the earlier turn. The answer itself is read from that turn's row, so it is
stored once, and deleted answers are never served.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import orjson

from chat.admission.item_deletion import revision
from chat.admission.turn_request import TurnRequest
from chat.catalogue import Model
from chat.generation import Prompt
from chat.metrics import ChatMetrics
from chat.model import Turn
from chat.turn_store import TurnStore
from parley.errors import DependencyUnavailable

KEY_VERSION = 1
"""Increase to invalidate all cached answers."""
CACHEABLE_FINISH_REASONS = frozenset({"stop", "tool_calls"})


class ResponseIndex(Protocol):
    """Index from prompt digests to turns. Both methods raise DependencyUnavailable after a short timeout."""

    async def find(self, digest: bytes) -> UUID | None:
        """Return the turn stored for a digest, None if there is none or it has expired."""
        ...

    async def save(self, digest: bytes, turn_id: UUID) -> None:
        """Store the turn of a digest."""
        ...


@dataclass(frozen=True, slots=True)
class CacheKey:
    """Identity of a prompt: equal for equal prompts of one user to one model."""

    digest: bytes
    user_id: UUID
    model: Model

    def is_answered_by(self, turn: Turn) -> bool:
        """Tell whether the turn holds a complete answer that a provider gave to this user."""
        complete = turn.status == "completed" and turn.finish_reason in CACHEABLE_FINISH_REASONS and bool(turn.entries)
        return complete and turn.user_id == self.user_id and not turn.cached and not revision(turn)


class ResponseCache:
    """Finds and stores the turns that answered a prompt."""

    def __init__(self, index: ResponseIndex, store: TurnStore, metrics: ChatMetrics) -> None:
        self._index, self._store = index, store
        self._lookups = {result: metrics.cache_lookups.labels(result) for result in ("hit", "miss", "error")}

    def lookup(self, request: TurnRequest, model: Model, prompt: Prompt) -> "CacheLookup | None":
        """Return the cache access of a turn, None if the request permits neither reading nor writing.

        Cached answers are sent in other pieces than tokens, so they have no log probabilities.
        """
        if "logprobs" in request.options:
            return None
        # A regeneration asks for a different answer, which later turns may reuse.
        read = request.cache_policy.read and request.regenerate is None
        write = request.cache_policy.write
        if not read and not write:
            return None
        key = CacheKey(digest_of(request.user_id, model, prompt), request.user_id, model)
        return CacheLookup(self, key, read=read, write=write)

    async def find(self, key: CacheKey) -> Turn | None:
        """Return the turn that answered a prompt; an unavailable index or store counts as a miss."""
        try:
            turn_id = await self._index.find(key.digest)
            turn = await self._store.get(turn_id) if turn_id is not None else None
        except DependencyUnavailable:
            self._lookups["error"].inc()
            return None
        found = turn if turn is not None and key.is_answered_by(turn) else None
        self._lookups["hit" if found else "miss"].inc()
        return found

    async def save(self, key: CacheKey, turn: Turn) -> None:
        """Store the turn as the answer to a prompt if it is cacheable and the index is available."""
        if key.is_answered_by(turn):
            with contextlib.suppress(DependencyUnavailable):
                await self._index.save(key.digest, turn.id)


class CacheLookup:
    """Cache access of one turn, as its request permits."""

    def __init__(self, cache: ResponseCache, key: CacheKey, *, read: bool, write: bool) -> None:
        self._cache, self._key, self._read, self._write = cache, key, read, write

    async def find(self) -> Turn | None:
        """Return the earlier turn whose answer is reused, or None."""
        return await self._cache.find(self._key) if self._read else None

    async def save(self, turn: Turn, by: Model) -> None:
        """Store an ended turn, unless a fallback model answered it."""
        if self._write and by == self._key.model:
            await self._cache.save(self._key, turn)


def digest_of(user_id: UUID, model: Model, prompt: Prompt) -> bytes:
    """Return the digest that equal prompts of one user to one model share."""
    options = prompt.options or {}
    content = [list(prompt.messages), prompt.max_tokens, prompt.temperature, options]
    identity = [KEY_VERSION, str(user_id), model.target.base_url, model.provider_model, *content]
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).digest()
