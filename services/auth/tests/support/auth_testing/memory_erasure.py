"""In-memory stores of erasures and the audit log."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from auth.audit.model import AuditEntry, RequestOrigin
from auth.erasure.model import Erasure
from auth_testing.memory_database import MemoryDatabase


class MemoryErasureStore:
    """Erasures in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._published_at: dict[str, datetime] = {}

    async def erase(self, user_id: UUID, erasure_id: str, origin: RequestOrigin) -> Erasure | None:
        user = self._database.users.get(user_id)
        if user is None:
            return None
        self._database.replace_user(user, None)
        self._database.end_sessions(self._database.live_sessions(user_id), "erased")
        self._database.revoke("user", user_id)
        self._database.sessions = {k: v for k, v in self._database.sessions.items() if v.session.user_id != user_id}
        self._database.api_keys = {k: v for k, v in self._database.api_keys.items() if v.key.user_id != user_id}
        self._database.delete_resets(user_id)
        now = self._database.clock()
        services = {"auth": "confirmed", "chat": "pending", "history": "pending", "webhooks": "pending"}
        self._database.erasures[erasure_id] = Erasure(erasure_id, user_id, now, None, services)
        self._published_at[erasure_id] = now
        self._database.events += [("user.erased", user_id), ("user.erasure_confirmed", user_id)]
        self._database.record("user.erased", origin, user_id)
        return self._database.erasures[erasure_id]

    async def find(self, erasure_id: str) -> Erasure | None:
        return self._database.erasures.get(erasure_id)

    async def confirm(self, erasure_id: str, service: str, at: datetime) -> None:
        del at
        erasure = self._database.erasures.get(erasure_id)
        if erasure is None or service not in erasure.services:
            return
        services = erasure.services | {service: "confirmed"}
        complete = set(services.values()) == {"confirmed"}
        completed_at = (erasure.completed_at or self._database.clock()) if complete else None
        self._database.erasures[erasure_id] = replace(erasure, services=services, completed_at=completed_at)

    async def republish_pending(self, *, after: float, at_most: float) -> int:
        now = self._database.clock()
        pending = [
            erasure
            for erasure in self._database.erasures.values()
            if erasure.completed_at is None
            and now - self._published_at[erasure.id] > self._wait(erasure, after, at_most)
        ]
        for erasure in pending:
            self._published_at[erasure.id] = now
            self._database.events.append(("user.erased", erasure.user_id))
        return len(pending)

    def _wait(self, erasure: Erasure, after: float, at_most: float) -> timedelta:
        pending_for = self._published_at[erasure.id] - erasure.requested_at
        return min(max(timedelta(seconds=after), pending_for), timedelta(seconds=at_most))


class MemoryAuditLog:
    """The audit log in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def read(self, filters: Mapping[str, Any], *, before: UUID | None, limit: int) -> Sequence[AuditEntry]:
        actor, action, target = (filters.get(name) for name in ("actor", "action", "target"))
        since, until = filters.get("from"), filters.get("to")
        found = [
            entry
            for entry in self._database.audit
            if (actor is None or entry.actor_id == actor)
            and (action is None or entry.action == action)
            and (target is None or entry.target_id == target)
            and (since is None or entry.at >= since)
            and (until is None or entry.at < until)
            and (before is None or entry.id < before)
        ]
        return sorted(found, key=lambda entry: entry.id, reverse=True)[:limit]

    async def purge(self, retention_days: int) -> int:
        before = self._database.clock() - timedelta(days=retention_days)
        kept = [entry for entry in self._database.audit if entry.at >= before]
        gone, self._database.audit[:] = len(self._database.audit) - len(kept), kept
        return gone
