"""Behaviour that every implementation of the stores has. Subclasses provide the fixture ``stores``."""

import secrets
from uuid import UUID

import pytest

from auth.accounts.model import NewUser, User
from auth.container import AuthStores
from auth.errors import AccountExists, LastAdmin
from auth.security import identifiers
from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth.sessions.model import NewSession
from auth_testing.people_contract import PeopleContract
from auth_testing.store_samples import ORIGIN, add_user, new_key, new_password, start_session, verify_address
from auth_testing.takeover_contract import TakeoverContract
from parley import times
from parley.ids import new_id
from parley.web.idempotency_keys import IdempotencyKeyReused


class StoreContract(TakeoverContract, PeopleContract):
    """Tests of accounts, sessions, API keys, password resets, erasures, revocations and the audit log."""

    async def test_a_user_name_or_address_is_taken_in_any_spelling(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        for username, email in ((user.username.upper(), None), ("other-name", str(user.email).upper())):
            with pytest.raises(AccountExists):
                await stores.accounts.add(NewUser(new_id(), username, email, None, "hash", DEFAULT_SCOPES), ORIGIN)

    async def test_an_account_is_found_by_name_and_address(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        for text in (user.username, str(user.email)):
            assert await stores.accounts.by_login(identifiers.key(text)) == user
        assert await stores.accounts.by_login("nobody") is None

    async def test_a_changed_profile_cannot_take_the_name_of_another_account(self, stores: AuthStores) -> None:
        one, other = await add_user(stores), await add_user(stores)
        with pytest.raises(AccountExists):
            await stores.accounts.change_profile(one.id, {"username": other.username}, ORIGIN)
        changed = await stores.accounts.change_profile(one.id, {"email": None, "display_name": "One"}, ORIGIN)
        assert changed is not None
        assert (changed.username, changed.email, changed.display_name) == (one.username, None, "One")
        assert await stores.accounts.change_profile(new_id(), {}, ORIGIN) is None

    async def test_a_rehash_replaces_only_the_hash_it_has_read(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        assert not await stores.accounts.rehash(user.id, "another hash", "new")
        assert (await self._reload(stores, user)).password_hash == "hash"
        assert await stores.accounts.rehash(user.id, "hash", "new")
        assert (await self._reload(stores, user)).password_hash == "new"

    async def test_a_new_password_ends_the_other_sessions(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        kept, ended = await start_session(stores, user), await start_session(stores, user)
        assert await new_password(stores, user, keep=kept.id)
        assert await self._live(stores, user) == [kept.id]
        assert await stores.revocations.find_revoked([kept.id, ended.id], {}) == ([ended.id], [])

    async def test_disabling_an_account_ends_its_sessions_and_revokes_its_tokens(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        session = await start_session(stores, user)
        disabled = await stores.accounts.administer(user.id, status="disabled", plan=None, scopes=None, origin=ORIGIN)
        assert disabled is not None
        assert not disabled.active
        revoked = await stores.revocations.find_revoked([session.id], {user.id: disabled.not_before})
        assert revoked == ([session.id], [user.id])
        assert await stores.revocations.find_revoked([], {user.id: disabled.not_before + 1}) == ([], [])

    async def test_the_last_administrator_stays(self, stores: AuthStores) -> None:
        admin = await add_user(stores, scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
        with pytest.raises(LastAdmin):
            await stores.accounts.administer(admin.id, status="disabled", plan=None, scopes=None, origin=ORIGIN)
        with pytest.raises(LastAdmin):
            await stores.erasures.erase(admin.id, secrets.token_urlsafe(), ORIGIN)
        assert await self._reload(stores, admin) == admin

    async def test_accounts_are_searched_newest_first(self, stores: AuthStores) -> None:
        first, second = await add_user(stores), await add_user(stores)
        found = await stores.accounts.search(text="USER-", status="active", plan="default", before=None, limit=2)
        assert [user.id for user in found] == [second.id, first.id]
        older = await stores.accounts.search(text=None, status=None, plan=None, before=second.id, limit=1)
        assert [user.id for user in older] == [first.id]

    async def test_a_disabled_account_starts_no_session(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        await stores.accounts.administer(user.id, status="disabled", plan=None, scopes=None, origin=ORIGIN)
        new = NewSession(new_id(), user.id, "parley-web", (), b"x" * 32, lifetime=60, idle_lifetime=60)
        assert await stores.sessions.start(new, ORIGIN) is None

    async def test_a_refresh_token_rotates_and_a_retry_finds_the_same_successor(self, stores: AuthStores) -> None:
        first, second = secrets.token_bytes(32), secrets.token_bytes(32)
        session = await start_session(stores, await add_user(stores), first)
        for _ in range(2):
            rotation = await stores.sessions.rotate(first, second, window=10, idle_lifetime=600, origin=ORIGIN)
            assert rotation is not None
            assert (rotation.session.id, rotation.reused) == (session.id, False)
        assert await stores.sessions.rotate(b"unknown", second, window=10, idle_lifetime=600, origin=ORIGIN) is None

    async def test_reuse_of_an_old_refresh_token_ends_the_session(self, stores: AuthStores) -> None:
        first, second, third = (secrets.token_bytes(32) for _ in range(3))
        user = await add_user(stores)
        session = await start_session(stores, user, first)
        await stores.sessions.rotate(first, second, window=10, idle_lifetime=600, origin=ORIGIN)
        await stores.sessions.rotate(second, third, window=10, idle_lifetime=600, origin=ORIGIN)
        rotation = await stores.sessions.rotate(first, second, window=10, idle_lifetime=600, origin=ORIGIN)
        assert rotation is not None
        assert rotation.reused
        assert await self._live(stores, user) == []
        assert await stores.sessions.by_token(third) is None
        assert await stores.revocations.find_revoked([session.id], {}) == ([session.id], [])

    async def test_a_session_ends_once_and_only_for_its_account(self, stores: AuthStores) -> None:
        user, stranger = await add_user(stores), await add_user(stores)
        session = await start_session(stores, user)
        assert not await stores.sessions.end(stranger.id, session.id, "logout", ORIGIN)
        assert await stores.sessions.end(user.id, session.id, "logout", ORIGIN)
        assert not await stores.sessions.end(user.id, session.id, "logout", ORIGIN)

    async def test_an_idempotency_key_replays_its_request_and_refuses_another(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        key = new_key(user)
        added, replayed = await stores.api_keys.add(
            key, secrets.token_bytes(32), idempotency_key="once", fingerprint=b"a", origin=ORIGIN
        )
        assert (added.id, replayed) == (key.id, False)
        again, replayed = await stores.api_keys.add(
            new_key(user), secrets.token_bytes(32), idempotency_key="once", fingerprint=b"a", origin=ORIGIN
        )
        assert (again.id, replayed) == (key.id, True)
        with pytest.raises(IdempotencyKeyReused):
            await stores.api_keys.add(
                new_key(user), secrets.token_bytes(32), idempotency_key="once", fingerprint=b"b", origin=ORIGIN
            )

    async def test_an_expired_or_deleted_api_key_is_not_used(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        for seconds, usable in ((None, True), (60.0, True), (-1.0, False)):
            key, digest = new_key(user, seconds=seconds), secrets.token_bytes(32)
            await stores.api_keys.add(key, digest, idempotency_key=None, fingerprint=b"", origin=ORIGIN)
            assert (await stores.api_keys.use(digest) is not None) == usable
            assert await stores.api_keys.delete(user.id, key.id, ORIGIN)
            assert await stores.api_keys.use(digest) is None
            assert await stores.revocations.find_revoked([key.id], {}) == ([key.id], [])

    async def test_an_issued_reset_token_replaces_earlier_ones_and_works_once(self, stores: AuthStores) -> None:
        user, first, second = await add_user(stores), secrets.token_bytes(32), secrets.token_bytes(32)
        await start_session(stores, user)
        assert await stores.password_resets.issue(user.id, first, 3600, ORIGIN) is not None
        assert await stores.password_resets.issue(user.id, second, 3600, ORIGIN) is not None
        assert await stores.password_resets.find(first) is None
        assert await stores.password_resets.use(second, "new", ORIGIN, end_api_keys=True)
        assert not await stores.password_resets.use(second, "newer", ORIGIN, end_api_keys=True)
        assert (await self._reload(stores, user)).password_hash == "new"
        assert await self._live(stores, user) == []

    async def test_reset_requests_of_one_account_keep_an_interval(self, stores: AuthStores) -> None:
        user, first = await add_user(stores), secrets.token_bytes(32)
        key = identifiers.key(str(user.email))
        refused = await stores.password_resets.request(key, b"z" * 32, lifetime=3600, interval=0, origin=ORIGIN)
        assert refused is None, "the address is not verified"
        await verify_address(stores, user)
        for digest, accepted in ((first, True), (secrets.token_bytes(32), False)):
            found = await stores.password_resets.request(key, digest, lifetime=3600, interval=60, origin=ORIGIN)
            assert (found is not None) == accepted
        assert await stores.password_resets.request(key, b"y" * 32, lifetime=3600, interval=0, origin=ORIGIN)
        assert await stores.password_resets.find(first) is not None

    async def test_an_erasure_completes_when_every_service_has_confirmed(self, stores: AuthStores) -> None:
        user, erasure_id = await add_user(stores), secrets.token_urlsafe()
        session = await start_session(stores, user)
        begun = await stores.erasures.erase(user.id, erasure_id, ORIGIN)
        assert begun is not None
        assert begun.services == {"auth": "confirmed", "chat": "pending", "history": "pending", "webhooks": "pending"}
        assert await stores.accounts.by_id(user.id) is None
        assert await stores.revocations.find_revoked([session.id], {}) == ([session.id], [])
        assert await stores.erasures.republish_pending(after=60, at_most=600) == 0
        for service, completed in (
            ("chat", False),
            ("chat", False),
            ("unknown", False),
            ("history", False),
            ("webhooks", True),
        ):
            await stores.erasures.confirm(erasure_id, service, times.now())
            found = await stores.erasures.find(erasure_id)
            assert found is not None
            assert (found.completed_at is not None) == completed
        assert await stores.erasures.erase(user.id, secrets.token_urlsafe(), ORIGIN) is None

    async def test_a_revocation_is_pushed_until_it_is_marked(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        session = await start_session(stores, user)
        await stores.sessions.end_all(user.id, "logout", ORIGIN)
        pending = [found for found in await stores.revocations.unpushed() if found.subject == session.id]
        assert [found.kind for found in pending] == ["session"]
        await stores.revocations.mark_pushed(pending)
        assert session.id not in {found.subject for found in await stores.revocations.unpushed()}
        assert session.id in {found.subject for found in await stores.revocations.live(None, 1_000_000)}

    async def test_live_revocations_are_read_page_by_page(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        sessions = {(await start_session(stores, user)).id for _ in range(3)}
        await stores.sessions.end_all(user.id, "logout", ORIGIN)
        found, last = set[UUID](), None
        while page := await stores.revocations.live(last, 2):
            assert len(page) <= 2
            last = page[-1]
            found |= {one.subject for one in page}
        assert found >= sessions

    async def test_the_audit_log_is_filtered_and_read_newest_first(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        await stores.sessions.end_all(user.id, "admin", ORIGIN)
        found = await stores.audit.read({"target": str(user.id)}, before=None, limit=10)
        assert [entry.action for entry in found] == ["session.revoked", "user.registered"]
        assert found[0].detail == {"reason": "admin", "sessions": 0}
        older = await stores.audit.read({"target": str(user.id)}, before=found[0].id, limit=10)
        assert [entry.action for entry in older] == ["user.registered"]
        assert await stores.audit.read({"actor": user.id}, before=None, limit=10) == []

    async def test_a_log_out_that_ends_no_session_is_not_in_the_audit_log(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        assert await stores.sessions.end_all(user.id, "logout", ORIGIN) == 0
        found = await stores.audit.read({"target": str(user.id)}, before=None, limit=10)
        assert [entry.action for entry in found] == ["user.registered"]

    @staticmethod
    async def _reload(stores: AuthStores, user: User) -> User:
        found = await stores.accounts.by_id(user.id)
        assert found is not None
        return found

    @staticmethod
    async def _live(stores: AuthStores, user: User) -> list[object]:
        return [session.id for session in await stores.sessions.live(user.id, before=None, limit=10)]
