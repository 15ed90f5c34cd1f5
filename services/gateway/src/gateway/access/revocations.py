"""Which sessions were revoked, asked of auth while Redis cannot tell."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter

from gateway.upstream.connection import Failure
from parley.errors import ParleyError
from parley.ratelimit.limiter import TokenSession

log = structlog.get_logger()

KEPT_FOR = 5.0
"""Seconds for which auth's answer is used."""
MAX_KEPT = 20_000
MAX_ASKED = 1_000
PATIENCE = 1.0
"""Seconds without auth's answer after which a token is believed: it ends by itself within minutes."""

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Revocations:
    """Auth's answers, kept for seconds; questions of the same moment travel together."""

    def __init__(self, ask: Ask, registry: CollectorRegistry) -> None:
        """Take what asks auth (it raises ParleyError or Failure)."""
        self._ask = ask
        self._known: OrderedDict[tuple[str, int], tuple[bool, float]] = OrderedDict()
        self._open: dict[tuple[str, int], TokenSession] = {}
        self._asking: asyncio.Task[None] | None = None
        self._unknown_until = 0.0
        self._unchecked = Counter(
            "gateway_revocation_unchecked_total",
            "Requests let through although neither Redis nor auth could say whether their session was revoked.",
            registry=registry,
        )

    async def revoked(self, session: TokenSession) -> bool:
        """Say whether the session was revoked; False, and counted, when nobody can tell."""
        key = (session.session_id, session.issued_at)
        found = self._known.get(key)
        now = time.monotonic()
        if found is not None and found[1] > now:
            return found[0]
        if now >= self._unknown_until:
            await self._question(key, session)
            found = self._known.get(key)
            if found is not None and found[1] > time.monotonic():
                return found[0]
        self._unchecked.inc()
        return False

    async def revoked_among(self, sessions: Iterable[TokenSession]) -> set[str]:
        """Return the ids of the revoked among open sessions."""
        return {s.session_id for s in sessions if await self.revoked(s)}

    async def _question(self, key: tuple[str, int], session: TokenSession) -> None:
        if len(self._open) >= MAX_KEPT:
            return
        self._open[key] = session
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._answer_open())
        await asyncio.shield(self._asking)
        while key in self._open:
            await asyncio.shield(self._restart())

    def _restart(self) -> "asyncio.Task[None]":
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._answer_open())
        return self._asking

    async def _answer_open(self) -> None:
        await asyncio.sleep(0)
        batch = list(one_of_each_user(self._open.values()))[:MAX_ASKED]
        for session in batch:
            del self._open[session.session_id, session.issued_at]
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._ask(question(batch))
        except (ParleyError, Failure, TimeoutError, KeyError, ValueError) as error:
            log.warning("revocations unknown", reason=type(error).__name__)
            self._unknown_until = time.monotonic() + PATIENCE
            self._open.clear()
            return
        self._learn(batch, answer)

    def _learn(self, batch: Sequence[TokenSession], answer: dict[str, Any]) -> None:
        sessions, users = set(answer.get("revoked_sessions", ())), set(answer.get("revoked_users", ()))
        until = time.monotonic() + KEPT_FOR
        for session in batch:
            revoked = session.session_id in sessions or session.user_id in users
            self._known[session.session_id, session.issued_at] = (revoked, until)
            self._known.move_to_end((session.session_id, session.issued_at))
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)


def one_of_each_user(sessions: Iterable[TokenSession]) -> Iterator[TokenSession]:
    """Leave out sessions whose user is asked about with another time of issue: the answer is for one time only."""
    users: dict[str, int] = {}
    for session in sessions:
        if users.setdefault(session.user_id, session.issued_at) == session.issued_at:
            yield session


def question(sessions: Sequence[TokenSession]) -> dict[str, Any]:
    """Return the body of the question: the sessions, and each user with the time of issue."""
    users = {session.user_id: session.issued_at for session in sessions}
    return {"sessions": list(dict.fromkeys(s.session_id for s in sessions)), "users": users}
