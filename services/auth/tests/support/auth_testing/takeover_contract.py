"""Behaviour of every implementation of the stores when a credential changes."""

import secrets
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from uuid import UUID

import pytest

from auth.accounts.model import PasswordChange, User
from auth.container import AuthStores
from auth.email_verification.service import TOKEN_LIFETIME
from auth.email_verification.store import UnverifiedAddress
from auth.security import identifiers
from auth.sessions.model import NewSession, SessionLimits
from auth_testing.store_samples import ORIGIN, add_user, new_key, new_password, start_session, verify_address
from parley.errors import TokenRevoked
from parley.ids import new_id


class TakeoverContract:
    """Tests of what ends with a password. Subclasses provide the fixture ``stores``."""

    async def test_a_new_password_ends_the_keys_made_since_the_last_one(self, stores: AuthStores) -> None:
        user = await add_user(stores)

        async def add_key() -> UUID:
            key = new_key(user)
            await stores.api_keys.add(
                key, secrets.token_bytes(32), idempotency_key=None, fingerprint=b"", origin=ORIGIN
            )
            return key.id

        async def change(*, end_api_keys: bool) -> list[UUID]:
            present = await stores.accounts.by_id(user.id)
            assert present is not None
            wanted = PasswordChange(
                user.id, checked_hash=present.password_hash, password_hash="new", end_api_keys=end_api_keys
            )
            assert await stores.accounts.set_password(wanted, ORIGIN)
            return [key.id for key in await stores.api_keys.live(user.id, before=None, limit=10)]

        kept = await add_key()
        assert await change(end_api_keys=False) == [kept]
        planted, reset = await add_key(), secrets.token_bytes(32)
        assert await change(end_api_keys=True) == [kept]
        assert await stores.revocations.find_revoked([kept, planted], {}) == ([planted], [])
        planted = await add_key()
        await stores.password_resets.issue(user.id, reset, 3600, ORIGIN)
        assert await stores.password_resets.use(reset, "new", ORIGIN, end_api_keys=True)
        assert [key.id for key in await stores.api_keys.live(user.id, before=None, limit=10)] == [kept]
        changed, *_ = await stores.audit.read({"target": str(user.id)}, before=None, limit=1)
        assert (changed.action, changed.detail) == ("password.reset", {"ended_api_keys": 1})

    async def test_another_spelling_of_an_address_is_not_verified(self, stores: AuthStores) -> None:
        user, token = await add_user(stores), secrets.token_bytes(32)
        sharp, double = f"stra\u00dfe-{user.email}", f"strasse-{user.email}"
        assert identifiers.key(sharp) == identifiers.key(double)
        await stores.accounts.change_profile(user.id, {"email": sharp}, ORIGIN)
        await stores.email_verifications.issue(user.id, token, lifetime=TOKEN_LIFETIME, interval=0, origin=ORIGIN)
        await stores.accounts.change_profile(user.id, {"email": double}, ORIGIN)
        assert not await stores.email_verifications.use(token, ORIGIN)
        await verify_address(stores, user)
        for email, verified in ((double, True), (sharp, False)):
            changed = await stores.accounts.change_profile(user.id, {"email": email}, ORIGIN)
            assert changed is not None
            assert changed.email_verified == verified

    async def test_a_login_with_the_old_password_starts_no_session_after_the_change(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        new = NewSession(new_id(), user.id, "parley-web", (), b"o" * 32, 60, 60, password_hash=user.password_hash)
        await new_password(stores, user)
        assert await stores.sessions.start(new, ORIGIN) is None
        assert await stores.sessions.start(replace(new, password_hash="new"), ORIGIN) is not None

    async def test_a_password_changes_only_from_the_one_that_was_checked(self, stores: AuthStores) -> None:
        user, reset = await add_user(stores), secrets.token_bytes(32)
        thief = await start_session(stores, user)
        await stores.password_resets.issue(user.id, reset, 3600, ORIGIN)
        assert await stores.password_resets.use(reset, "chosen by the owner", ORIGIN, end_api_keys=True)
        before = await stores.audit.read({"target": str(user.id)}, before=None, limit=9)
        assert not await new_password(stores, user, keep=thief.id)
        after = await stores.accounts.by_id(user.id)
        assert after is not None
        assert after.password_hash == "chosen by the owner"
        assert await stores.audit.read({"target": str(user.id)}, before=None, limit=9) == before
        assert await new_password(stores, after)

    async def test_no_password_is_set_for_an_account_that_was_disabled_or_erased(self, stores: AuthStores) -> None:
        disabled, erased = await add_user(stores), await add_user(stores)
        await stores.accounts.administer(disabled.id, status="disabled", plan=None, scopes=None, origin=ORIGIN)
        assert not await new_password(stores, disabled)
        await stores.erasures.erase(erased.id, secrets.token_urlsafe(), ORIGIN)
        assert not await new_password(stores, erased)

    async def test_a_session_has_no_scope_that_was_removed_while_the_password_was_checked(
        self, stores: AuthStores
    ) -> None:
        user = await add_user(stores, scopes=("account", "chat:write", "webhooks"))
        fewer = ("account", "webhooks")
        changed = await stores.accounts.administer(user.id, status=None, plan=None, scopes=fewer, origin=ORIGIN)
        assert changed is not None
        session = await start_session(stores, user)
        assert (session.scopes, session.not_before) == (fewer, changed.not_before)
        (stored,) = await stores.sessions.live(user.id, before=None, limit=9)
        assert (stored.scopes, stored.not_before) == (fewer, 0)

    async def test_a_refresh_token_has_only_scopes_that_the_account_still_has(self, stores: AuthStores) -> None:
        user, token = await add_user(stores, scopes=("account", "chat:write")), secrets.token_bytes(32)
        await start_session(stores, user, token)
        await stores.accounts.administer(user.id, status=None, plan=None, scopes=("account",), origin=ORIGIN)
        found = await stores.sessions.by_token(token)
        assert found is not None
        assert found.scopes == ("account",)

    async def test_a_token_that_is_signed_during_a_change_is_void(self, stores: AuthStores) -> None:
        narrowed, disabled, erased = [await add_user(stores) for _ in range(3)]
        await stores.accounts.administer(narrowed.id, status=None, plan=None, scopes=("account",), origin=ORIGIN)
        await stores.accounts.administer(disabled.id, status="disabled", plan=None, scopes=None, origin=ORIGIN)
        await stores.erasures.erase(erased.id, secrets.token_urlsafe(), ORIGIN)
        a_second_later = dict.fromkeys((narrowed.id, disabled.id, erased.id), int(time.time()) + 1)
        _, void = await stores.revocations.find_revoked([], a_second_later)
        assert set(void) == set(a_second_later)

    async def test_a_login_beyond_the_limit_ends_the_session_that_was_used_longest_ago(
        self, stores: AuthStores
    ) -> None:
        user, refreshed, stranger = await add_user(stores), secrets.token_bytes(32), await add_user(stores)
        await start_session(stores, stranger)
        first, second = await start_session(stores, user, refreshed), await start_session(stores, user)
        rotated, stores.sessions.limits = secrets.token_bytes(32), SessionLimits(sessions=2)
        await stores.sessions.rotate(refreshed, rotated, window=10, idle_lifetime=600, origin=ORIGIN)
        new = NewSession(new_id(), user.id, "parley-web", (), secrets.token_bytes(32), lifetime=60, idle_lifetime=60)
        assert await stores.sessions.start(new, ORIGIN) is not None
        live = await stores.sessions.live(user.id, before=None, limit=9)
        assert {session.id for session in live} == {first.id, new.id}
        assert await stores.revocations.find_revoked([first.id, second.id], {}) == ([second.id], [])
        assert len(await stores.sessions.live(stranger.id, before=None, limit=9)) == 1

    async def test_a_session_with_very_many_refresh_tokens_forgets_the_old_ones(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        tokens = [b"\1" + secrets.token_bytes(31) for _ in range(3)] + [b"\0" + secrets.token_bytes(31)]
        session = await start_session(stores, user, tokens[0])
        rotate = partial(stores.sessions.rotate, window=10, idle_lifetime=600, origin=ORIGIN)
        stores.sessions.limits = SessionLimits(refresh_tokens=3)
        for used, following in pairwise(tokens):
            assert await rotate(used, following) is not None
        assert await rotate(tokens[0], b"x" * 32) is None
        retried = await rotate(tokens[2], tokens[3])
        assert retried is not None
        assert (retried.session.id, retried.reused) == (session.id, False)

    async def test_only_a_second_device_is_new(self, stores: AuthStores) -> None:
        user = await add_user(stores)

        async def log_in(agent: str | None, client: str = "parley-web") -> bool:
            new = NewSession(new_id(), user.id, client, (), secrets.token_bytes(32), lifetime=60, idle_lifetime=60)
            session = await stores.sessions.start(new, replace(ORIGIN, user_agent=agent))
            assert session is not None
            return session.new_device

        agents = ("Mozilla/5.0 (X11) Chrome/130.0.1", "Mozilla/5.0 (X11) Chrome/131.2", "curl/8.1", None, "curl/8.1")
        assert [await log_in(agent) for agent in agents] == [False, False, True, True, False]
        assert await log_in("curl/8.1", client="another-app")
        found = await stores.audit.read({"action": "session.new_device", "target": str(user.id)}, before=None, limit=9)
        assert len(found) == 3
        assert not any(session.new_device for session in await stores.sessions.live(user.id, before=None, limit=9))

    async def test_the_devices_that_logged_in_longest_ago_are_forgotten(self, stores: AuthStores) -> None:
        user, stranger = await add_user(stores), await add_user(stores)
        stores.sessions.limits = SessionLimits(devices=2)

        async def log_in(agent: str, owner: User = user) -> bool:
            new = NewSession(
                new_id(), owner.id, "parley-web", (), secrets.token_bytes(32), lifetime=60, idle_lifetime=60
            )
            session = await stores.sessions.start(new, replace(ORIGIN, user_agent=agent))
            assert session is not None
            return session.new_device

        assert [await log_in(agent, stranger) for agent in "ab"] == [False, True]
        assert [await log_in(agent) for agent in "abac"] == [False, True, False, True]
        assert [await log_in(agent) for agent in "acb"] == [False, False, True]
        assert [await log_in(agent, stranger) for agent in "ab"] == [False, False]

    async def test_a_verification_token_verifies_the_address_it_was_made_for(self, stores: AuthStores) -> None:
        user, first, second, third = await add_user(stores), *(secrets.token_bytes(32) for _ in range(3))
        issue = partial(stores.email_verifications.issue, user.id, lifetime=TOKEN_LIFETIME, origin=ORIGIN)
        assert await issue(first, interval=60) == UnverifiedAddress(user.username, str(user.email))
        assert await issue(second, interval=60) is None
        await stores.accounts.change_profile(user.id, {"email": f"other-{user.email}"}, ORIGIN)
        assert not await stores.email_verifications.use(first, ORIGIN)
        assert await issue(third, interval=0) == UnverifiedAddress(user.username, f"other-{user.email}")
        assert not await stores.email_verifications.use(b"unknown", ORIGIN)
        assert await stores.email_verifications.use(third, ORIGIN)
        assert not await stores.email_verifications.use(third, ORIGIN)
        verified = await stores.accounts.by_id(user.id)
        assert verified is not None
        assert verified.email_verified
        assert await issue(second, interval=0) is None
        changed = await stores.accounts.change_profile(user.id, {"email": user.email}, ORIGIN)
        assert changed is not None
        assert not changed.email_verified

    async def test_an_ended_session_makes_no_key(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        session = await start_session(stores, user)
        await new_password(stores, user)
        with pytest.raises(TokenRevoked):
            await stores.api_keys.add(
                new_key(user),
                secrets.token_bytes(32),
                idempotency_key=None,
                fingerprint=b"",
                origin=ORIGIN,
                session_id=session.id,
            )
