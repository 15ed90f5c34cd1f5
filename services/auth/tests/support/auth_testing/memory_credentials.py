"""In-memory stores of sessions and API keys."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from auth.accounts.model import User
from auth.api_keys.model import MAX_KEYS, ApiKey, TooManyApiKeysError
from auth.audit.model import RequestOrigin
from auth.revocations.model import RevocationReason
from auth.sessions.model import NewSession, RefreshRotation, Session, SessionLimits, device_digest
from auth_testing.memory_database import MemoryDatabase, StoredApiKey, StoredSession
from parley.errors import TokenRevoked
from parley.web.idempotency_keys import IdempotencyKeyReused

IDEMPOTENCY_WINDOW = timedelta(hours=24)
PURGE_AFTER = timedelta(days=1)


class MemorySessionStore:
    """Sessions in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database, self.limits = database, SessionLimits()

    async def start(self, new: NewSession, origin: RequestOrigin) -> Session | None:
        user = self._database.users.get(new.user_id)
        if user is None or not user.active or new.password_hash not in {None, user.password_hash}:
            return None
        now = self._database.clock()
        self._database.users[user.id] = replace(user, last_login_at=now)
        session = Session(
            id=new.id,
            user_id=new.user_id,
            client_id=new.client_id,
            scopes=tuple(scope for scope in new.scopes if scope in user.scopes),
            user_agent=origin.user_agent,
            address=origin.address,
            auth_time=now,
            created_at=now,
            last_used_at=now,
            expires_at=now + timedelta(seconds=new.lifetime),
            idle_expires_at=now + timedelta(seconds=new.idle_lifetime),
            new_device=self._note_device(new, origin),
            not_before=user.not_before,
        )
        if session.new_device:
            self._database.record("session.new_device", origin, new.user_id, session=str(session.id))
        self._database.sessions[new.id] = StoredSession(
            replace(session, new_device=False, not_before=0), new.token_digest
        )
        self._database.refresh_tokens[new.token_digest] = new.id
        live = sorted(self._database.live_sessions(new.user_id), key=lambda each: each.session.last_used_at)
        for surplus in live[: -self.limits.sessions]:
            self._record(new.user_id, "logout", self._database.end_sessions([surplus], "logout"), origin)
        return session

    async def by_token(self, token_digest: bytes) -> Session | None:
        stored = self._find(token_digest)
        if stored is None:
            return None
        owned = self._database.users[stored.session.user_id].scopes
        return replace(stored.session, scopes=tuple(scope for scope in stored.session.scopes if scope in owned))

    async def rotate(
        self, token_digest: bytes, next_digest: bytes, *, window: float, idle_lifetime: int, origin: RequestOrigin
    ) -> RefreshRotation | None:
        stored = self._find(token_digest)
        if stored is None:
            return None
        now, session = self._database.clock(), stored.session
        user = self._database.users[session.user_id]
        if stored.current == token_digest:
            stored.current, stored.previous, stored.rotated_at = next_digest, token_digest, now
            idle_expires_at = min(session.expires_at, now + timedelta(seconds=idle_lifetime))
            stored.session = replace(session, last_used_at=now, idle_expires_at=idle_expires_at)
        elif not self._is_retry(stored, token_digest, next_digest, window):
            self._database.end_sessions([stored], "reuse")
            self._record(session.user_id, "reuse", 1, origin)
            return RefreshRotation(session, user, reused=True)
        self._database.refresh_tokens[next_digest] = session.id
        tokens = [digest for digest, owner in self._database.refresh_tokens.items() if owner == session.id]
        if not next_digest[0] and len(tokens) > self.limits.refresh_tokens:
            for digest in set(tokens) - {token_digest, next_digest}:
                del self._database.refresh_tokens[digest]
        return RefreshRotation(stored.session, user, reused=False)

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Session]:
        found = [stored.session for stored in self._database.live_sessions(user_id)]
        found = [session for session in found if before is None or session.id < before]
        return sorted(found, key=lambda session: session.id, reverse=True)[:limit]

    async def end(self, user_id: UUID, session_id: UUID, reason: RevocationReason, origin: RequestOrigin) -> bool:
        found = [stored for stored in self._database.live_sessions(user_id) if stored.session.id == session_id]
        if found:
            self._record(user_id, reason, self._database.end_sessions(found, reason), origin)
        return bool(found)

    async def end_all(
        self, user_id: UUID, reason: RevocationReason, origin: RequestOrigin, *, keep: UUID | None = None
    ) -> int:
        found = [stored for stored in self._database.live_sessions(user_id) if stored.session.id != keep]
        count = self._database.end_sessions(found, reason)
        if count or reason != "logout":
            self._record(user_id, reason, count, origin)
        return count

    async def purge(self) -> int:
        cutoff = self._database.clock() - PURGE_AFTER
        old = [
            session_id
            for session_id, stored in self._database.sessions.items()
            if min(filter(None, (stored.session.expires_at, stored.session.idle_expires_at, stored.revoked_at)))
            < cutoff
        ]
        for session_id in old:
            del self._database.sessions[session_id]
        return len(old)

    def _note_device(self, new: NewSession, origin: RequestOrigin) -> bool:
        """Store the device, and return whether the account has others but not this one."""
        device = (new.user_id, device_digest(new.client_id, origin.user_agent))
        known = [found for found in self._database.devices if found[0] == new.user_id]
        self._database.devices.pop(device, None)
        self._database.devices[device] = None
        mine = [found for found in self._database.devices if found[0] == new.user_id]
        for forgotten in mine[: -self.limits.devices]:
            del self._database.devices[forgotten]
        return bool(known) and device not in known

    def _find(self, digest: bytes) -> StoredSession | None:
        session_id = self._database.refresh_tokens.get(digest)
        stored = self._database.sessions.get(session_id) if session_id else None
        return stored if stored and self._database.is_live(stored) else None

    def _is_retry(self, stored: StoredSession, digest: bytes, successor: bytes, window: float) -> bool:
        if stored.previous != digest or stored.current != successor or stored.rotated_at is None:
            return False
        return stored.rotated_at > self._database.clock() - timedelta(seconds=window)

    def _record(self, user_id: UUID, reason: RevocationReason, count: int, origin: RequestOrigin) -> None:
        self._database.record("session.revoked", origin, user_id, reason=reason, sessions=count)


class MemoryApiKeyStore:
    """API keys in memory."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database

    async def add(
        self,
        key: ApiKey,
        digest: bytes,
        *,
        idempotency_key: str | None,
        fingerprint: bytes,
        origin: RequestOrigin,
        session_id: UUID | None = None,
        max_keys: int = MAX_KEYS,
    ) -> tuple[ApiKey, bool]:
        if session_id is not None and ("session", session_id) in self._database.revocations:
            raise TokenRevoked
        since = self._database.clock() - IDEMPOTENCY_WINDOW
        for stored in self._database.api_keys.values():
            same_request = stored.key.user_id == key.user_id and stored.idempotency_key == idempotency_key
            if idempotency_key is not None and same_request and stored.key.created_at >= since:
                if stored.fingerprint != fingerprint:
                    raise IdempotencyKeyReused
                return stored.key, True
        self._require_room(key.user_id, max_keys)
        self._database.api_keys[key.id] = StoredApiKey(key, digest, idempotency_key, fingerprint)
        self._database.record("apikey.created", origin, key.id, "api_key")
        return key, False

    def _require_room(self, user_id: UUID, max_keys: int) -> None:
        now = self._database.clock()
        owned = [stored.key for stored in self._database.api_keys.values() if stored.key.user_id == user_id]
        expired = [key for key in owned if key.expires_at is not None and key.expires_at <= now]
        if len(owned) < max_keys:
            return
        if len(owned) - len(expired) >= max_keys:
            raise TooManyApiKeysError
        for key in expired:
            del self._database.api_keys[key.id]

    async def live(self, user_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
        found = [stored.key for stored in self._database.api_keys.values() if stored.key.user_id == user_id]
        found = [key for key in found if before is None or key.id < before]
        return sorted(found, key=lambda key: key.id, reverse=True)[:limit]

    async def delete(self, user_id: UUID, key_id: UUID, origin: RequestOrigin) -> bool:
        stored = self._database.api_keys.get(key_id)
        if stored is None or stored.key.user_id != user_id:
            return False
        del self._database.api_keys[key_id]
        self._database.revoke("session", key_id)
        self._database.events.append(("apikey.revoked", user_id))
        self._database.record("apikey.deleted", origin, key_id, "api_key")
        return True

    async def use(self, digest: bytes) -> tuple[ApiKey, User] | None:
        now = self._database.clock()
        for stored in self._database.api_keys.values():
            user = self._database.users[stored.key.user_id]
            expired = stored.key.expires_at is not None and stored.key.expires_at <= now
            if stored.digest == digest and user.active and not expired:
                stored.key = replace(stored.key, last_used_at=now)
                return stored.key, user
        return None
