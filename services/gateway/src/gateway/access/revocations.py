"""Revoked sessions, looked up at auth while Redis is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import structlog
from cachetools import TTLCache
from prometheus_client import CollectorRegistry, Counter

from gateway.upstream.failures import UpstreamFailure
from parley.errors import ParleyError
from parley.process.outage_pause import OutagePause
from parley.process.timeouts import lag_tolerant_timeout
from parley.ratelimit.limiter import TokenSession

log = structlog.get_logger()

CACHE_TTL = 5.0
"""Seconds for which a result from auth is cached."""
MAX_CACHED = 20_000
MAX_BATCH = 1_000
LOOKUP_TIMEOUT = 1.0
"""Seconds before a lookup is given up, and before the next one after a failure. Until then, tokens are accepted
unchecked; they expire within minutes."""

LookUp = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class RevocationLookup:
    """Looks up sessions in batches and caches the results."""

    def __init__(self, look_up: LookUp, registry: CollectorRegistry) -> None:
        """``look_up`` sends one request to auth. It may raise ParleyError or UpstreamFailure."""
        self._look_up = look_up
        self._known: TTLCache[tuple[str, int], bool] = TTLCache(MAX_CACHED, CACHE_TTL)
        self._pending: dict[tuple[str, int], TokenSession] = {}
        self._batch: asyncio.Task[None] | None = None
        self._pause = OutagePause(LOOKUP_TIMEOUT)
        self._unchecked = Counter(
            "gateway_revocation_unchecked_total",
            "Requests accepted without a revocation check, because neither Redis nor auth was available.",
            registry=registry,
        )

    async def is_revoked(self, session: TokenSession) -> bool:
        """Return whether the session was revoked. When the lookup fails, count that and return False."""
        key = (session.session_id, session.issued_at)
        revoked = self._known.get(key)
        if revoked is None and self._pause.is_over:
            await self._wait_for_lookup(key, session)
            revoked = self._known.get(key)
        if revoked is None:
            self._unchecked.inc()
            return False
        return revoked

    async def revoked_among(self, sessions: Sequence[TokenSession]) -> set[TokenSession]:
        """Return the revoked sessions."""
        revoked = await asyncio.gather(*map(self.is_revoked, sessions))
        return {session for session, is_revoked in zip(sessions, revoked, strict=True) if is_revoked}

    async def _wait_for_lookup(self, key: tuple[str, int], session: TokenSession) -> None:
        if len(self._pending) >= MAX_CACHED:
            return
        self._pending[key] = session
        await asyncio.shield(self._running_batch())
        while key in self._pending:
            await asyncio.shield(self._running_batch())

    def _running_batch(self) -> "asyncio.Task[None]":
        if self._batch is None or self._batch.done():
            self._batch = asyncio.get_running_loop().create_task(self._look_up_pending())
        return self._batch

    async def _look_up_pending(self) -> None:
        await asyncio.sleep(0)  # requests of the same moment join the batch
        batch = list(one_issue_time_per_user(self._pending.values()))[:MAX_BATCH]
        for session in batch:
            del self._pending[session.session_id, session.issued_at]
        try:
            async with lag_tolerant_timeout(LOOKUP_TIMEOUT):
                result = await self._look_up(lookup_body(batch))
        except (ParleyError, UpstreamFailure, TimeoutError, KeyError, ValueError) as error:
            log.warning("revocation_lookup_failed", reason=type(error).__name__)
            self._pause.begin()
            self._pending.clear()
            return
        sessions, users = set(result.get("revoked_sessions", ())), set(result.get("revoked_users", ()))
        for session in batch:
            revoked = session.session_id in sessions or session.user_id in users
            self._known[session.session_id, session.issued_at] = revoked


def one_issue_time_per_user(sessions: Iterable[TokenSession]) -> Iterator[TokenSession]:
    """Yield sessions with one issue time per user, because one lookup accepts only one. The rest waits."""
    users: dict[str, int] = {}
    for session in sessions:
        if users.setdefault(session.user_id, session.issued_at) == session.issued_at:
            yield session


def lookup_body(sessions: Sequence[TokenSession]) -> dict[str, Any]:
    """Return the body of a lookup: the session ids, and the issue time for each user."""
    users = {session.user_id: session.issued_at for session in sessions}
    return {"sessions": list(dict.fromkeys(s.session_id for s in sessions)), "users": users}
