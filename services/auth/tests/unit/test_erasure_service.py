"""Erasure of accounts, over in-memory stores."""

import time
from dataclasses import replace
from uuid import UUID

import pytest

from auth.erasure.service import ErasureService
from auth.errors import LastAdmin
from auth.security.reauthentication import MAX_LOGIN_AGE
from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth_testing.unit_services import HERE, UnitAuth
from parley import times
from parley.errors import NotFound, ReauthenticationRequired, TokenRevoked
from parley.ids import new_id
from parley_events.models import UserErasureConfirmed
from parley_testing.contracts.bus import make_event


async def confirm(auth: UnitAuth, user_id: UUID, erasure_id: str, service: str) -> None:
    data = UserErasureConfirmed(user_id=user_id, erasure_id=erasure_id, service=service, at=times.now())
    event = replace(make_event(name="user.erasure_confirmed"), data=data.model_dump_json().encode())
    await auth.services.erasures.subscription().handler(event)


async def test_an_erasure_ends_sessions_at_once_and_completes_with_the_confirmations(auth: UnitAuth) -> None:
    user = await auth.user()
    granted = await auth.login()
    erasure = await auth.services.erasures.erase_self(await auth.principal(granted), HERE)
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    assert ("user", user.id) in auth.cache.entries
    for service, completed in (("chat", False), ("history", False), ("webhooks", True)):
        await confirm(auth, user.id, erasure.id, service)
        found = await auth.services.erasures.find(erasure.id)
        assert (found.completed_at is not None) == completed


async def test_an_old_login_cannot_erase_the_account(auth: UnitAuth) -> None:
    await auth.user()
    principal = await auth.principal(await auth.login())
    later = ErasureService(
        auth.services.stores.erasures, auth.services.revocations, clock=lambda: time.time() + MAX_LOGIN_AGE + 6
    )
    for stale in (principal, replace(principal, auth_time=None)):
        with pytest.raises(ReauthenticationRequired):
            await later.erase_self(stale, HERE)
    assert principal.user_id in auth.database.users


async def test_the_last_administrator_cannot_be_erased(auth: UnitAuth) -> None:
    admin = await auth.user(scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    with pytest.raises(LastAdmin):
        await auth.services.erasures.erase(admin.id, HERE)
    await auth.user("bea", scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    assert (await auth.services.erasures.erase(admin.id, HERE)).user_id == admin.id


async def test_unknown_accounts_and_erasures_are_not_found(auth: UnitAuth) -> None:
    with pytest.raises(NotFound):
        await auth.services.erasures.erase(new_id(), HERE)
    for erasure_id in ("unknown", "\x00", "é"):
        with pytest.raises(NotFound):
            await auth.services.erasures.find(erasure_id)


async def test_a_pending_erasure_is_published_again_until_it_is_complete(auth: UnitAuth) -> None:
    user = await auth.user()
    erasure = await auth.services.erasures.erase(user.id, HERE)
    store = auth.services.stores.erasures
    assert await store.republish_pending(after=60, at_most=600) == 0
    for passed, published in ((59, 0), (2, 1), (60, 0), (2, 1), (100, 0), (24, 1), (500, 1), (590, 0), (11, 1)):
        auth.clock.forward(passed)
        assert await store.republish_pending(after=60, at_most=600) == published
    assert auth.database.events.count(("user.erased", user.id)) == 6
    for service in ("chat", "history", "webhooks"):
        await confirm(auth, user.id, erasure.id, service)
    auth.clock.forward(601)
    assert await store.republish_pending(after=60, at_most=600) == 0
