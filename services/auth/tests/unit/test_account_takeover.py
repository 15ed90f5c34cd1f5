"""What a stolen access token cannot do: it never becomes a permanent credential. Over in-memory stores."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from auth.api_keys.model import DEFAULT_EXPIRY, ApiKey, Expiry
from auth.security.password_hashing import PasswordHasher
from auth.security.reauthentication import MAX_LOGIN_AGE
from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth_testing.app import PASSWORD
from auth_testing.unit_services import HERE, UnitAuth, unit_auth
from parley import times
from parley.errors import ReauthenticationRequired, ValidationFailed
from parley.security.identity import Principal

NEW_PASSWORD = "quite another long sentence"
Attempt = Callable[[UnitAuth, Principal], Awaitable[object]]


def old(principal: Principal, seconds: int = MAX_LOGIN_AGE + 6) -> Principal:
    """Return the principal of a token that was refreshed ``seconds`` after the log-in."""
    return replace(principal, auth_time=int(time.time()) - seconds)


async def make_key(auth: UnitAuth, owner: Principal, *scopes: str, expiry: Expiry = DEFAULT_EXPIRY) -> ApiKey:
    key, _ = await auth.services.api_keys.create(
        owner, name="ci", scopes=scopes or ("chat:write",), expiry=expiry, idempotency_key=None, origin=HERE
    )
    return key


async def promote(auth: UnitAuth, caller: Principal) -> object:
    other = await auth.user("bea")
    return await auth.services.administration.change(
        caller, str(other.id), status=None, plan=None, scopes=[*DEFAULT_SCOPES, ADMIN_SCOPE], origin=HERE
    )


async def authorise_reset(auth: UnitAuth, caller: Principal) -> None:
    auth.services.administration.authorise_reset(caller, await auth.user("bea"))


ATTEMPTS: dict[str, Attempt] = {
    "another e-mail address": lambda auth, caller: auth.services.accounts.change(
        caller, {"email": "eve@example.org"}, HERE
    ),
    "no e-mail address": lambda auth, caller: auth.services.accounts.change(caller, {"email": None}, HERE),
    "password": lambda auth, caller: auth.services.accounts.change_password(caller, PASSWORD, NEW_PASSWORD, HERE),
    "key with wide scopes": lambda auth, caller: make_key(auth, caller, "chat:write", "history:read"),
    "key without expiry": lambda auth, caller: make_key(auth, caller, expiry=None),
    "key for a century": lambda auth, caller: make_key(auth, caller, expiry=times.now() + timedelta(days=36_500)),
    "another administrator": promote,
    "reset token of another account": authorise_reset,
    "erasure": lambda auth, caller: auth.services.erasures.erase_self(caller, HERE),
}


@pytest.fixture
async def caller(auth: UnitAuth) -> Principal:
    await auth.user("root", scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    await auth.user("ada", scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    return await auth.principal(await auth.login())


@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_a_permanent_change_requires_a_login_of_the_last_five_minutes(
    auth: UnitAuth, caller: Principal, attempt: str
) -> None:
    for stolen in (old(caller), replace(caller, auth_time=None)):
        with pytest.raises(ReauthenticationRequired):
            await ATTEMPTS[attempt](auth, stolen)
    await ATTEMPTS[attempt](auth, old(caller, MAX_LOGIN_AGE - 10))


async def test_a_wrong_password_cannot_be_guessed_with_an_old_token(auth: UnitAuth, caller: Principal) -> None:
    with pytest.raises(ReauthenticationRequired):
        await auth.services.accounts.change_password(old(caller), "wrong", NEW_PASSWORD, HERE)


async def test_changes_that_give_nothing_away_need_no_recent_login(auth: UnitAuth, caller: Principal) -> None:
    changed = await auth.services.accounts.change(
        old(caller), {"display_name": "Ada", "email": "ada@example.org"}, HERE
    )
    assert changed.display_name == "Ada"
    key = await make_key(auth, old(caller))
    assert key.expires_at is not None
    await auth.services.api_keys.delete(old(caller), str(key.id), HERE)


async def test_an_administrators_key_resets_other_accounts_but_makes_no_administrators(
    auth: UnitAuth, caller: Principal
) -> None:
    key = replace(caller, auth_time=None, client_id="api-key")
    person, admin = await auth.user("bea"), await auth.user("root")
    auth.services.administration.authorise_reset(key, person)
    with pytest.raises(ReauthenticationRequired):
        auth.services.administration.authorise_reset(key, admin)
    with pytest.raises(ReauthenticationRequired):
        await promote(auth, key)


async def test_a_key_expires_after_ninety_days_unless_told_otherwise(auth: UnitAuth, caller: Principal) -> None:
    key = await make_key(auth, caller)
    assert key.expires_at == key.created_at + timedelta(days=90)
    assert (await make_key(auth, caller, expiry=None)).expires_at is None
    chosen = times.now() + timedelta(days=400)
    assert (await make_key(auth, caller, expiry=chosen)).expires_at == chosen


async def test_a_plan_bounds_the_lifetime_of_keys(fast_hasher: PasswordHasher, tmp_path: Path) -> None:
    file = tmp_path / "plans.yaml"
    file.write_text("default: {api_key_max_days: 30, streams: 20}\nlong: {api_key_max_days: 365}\n")
    auth = await unit_auth(fast_hasher, plans_file=file)
    await auth.user("ada")
    caller = await auth.principal(await auth.login())
    key = await make_key(auth, caller)
    assert key.expires_at == key.created_at + timedelta(days=30)
    for expiry in (None, times.now() + timedelta(days=31)):
        with pytest.raises(ValidationFailed) as refused:
            await make_key(auth, caller, expiry=expiry)
        assert (refused.value.errors[0].pointer, refused.value.errors[0].code) == ("/expires_at", "too_late")
    longer = await make_key(auth, replace(caller, plan="long"))
    assert longer.expires_at == longer.created_at + timedelta(days=90)


@pytest.mark.parametrize("by_reset", [False, True])
async def test_a_new_password_ends_the_keys_that_a_thief_may_have_made(
    auth: UnitAuth, caller: Principal, by_reset: bool
) -> None:
    planted = await make_key(auth, caller)
    if by_reset:
        link = await auth.services.password_resets.issue(auth.database.users[caller.user_id], HERE)
        await auth.services.password_resets.use(link.token, NEW_PASSWORD, HERE)
    else:
        await auth.services.accounts.change_password(caller, PASSWORD, NEW_PASSWORD, HERE)
    assert auth.database.api_keys == {}
    assert ("session", planted.id) in auth.cache.entries


async def test_the_owner_may_keep_the_keys(auth: UnitAuth, caller: Principal) -> None:
    key = await make_key(auth, caller)
    await auth.services.accounts.change_password(caller, PASSWORD, NEW_PASSWORD, HERE, end_api_keys=False)
    assert list(auth.database.api_keys) == [key.id]


async def test_of_changes_that_overlap_only_one_replaces_the_password_it_has_checked(
    auth: UnitAuth, caller: Principal
) -> None:
    attempts = [auth.services.accounts.change_password(caller, PASSWORD, f"{NEW_PASSWORD} {n}", HERE) for n in range(4)]
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    refused = [error for error in ended if isinstance(error, ValidationFailed)]
    assert [error.errors[0].pointer for error in refused] == ["/current_password"] * 3
    assert ended.count(None) == 1
    assert (await auth.login(password=f"{NEW_PASSWORD} {ended.index(None)}")).refresh_token is not None


async def test_a_token_lacks_a_scope_that_was_removed_while_its_password_was_checked(
    auth: UnitAuth, fast_hasher: PasswordHasher
) -> None:
    user, _ = [await auth.user(name, scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE)) for name in ("bea", "root")]
    accounts = auth.services.stores.accounts
    async with fast_hasher.slot(), fast_hasher.slot():
        login = asyncio.create_task(auth.login("bea"))
        await asyncio.wait([login], timeout=0.05)
        await accounts.administer(user.id, status=None, plan=None, scopes=DEFAULT_SCOPES, origin=HERE)
    granted = await login
    assert granted.scopes == list(DEFAULT_SCOPES)
    assert (await auth.principal(granted)).scopes == frozenset(DEFAULT_SCOPES)
