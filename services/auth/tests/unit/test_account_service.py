"""Registration, profile and password, over in-memory stores."""

import pytest

from auth.errors import AccountDisabled, AccountExists, PasswordTooWeak, RegistrationClosed
from auth.security.password_hashing import PasswordHasher
from auth.security.scopes import DEFAULT_SCOPES
from auth_testing.app import PASSWORD
from auth_testing.unit_services import HERE, UnitAuth, unit_auth
from parley.errors import TokenInvalid, ValidationFailed

NEW_PASSWORD = "quite another long sentence"


async def test_a_new_account_has_personal_scopes_and_a_hashed_password(auth: UnitAuth) -> None:
    user = await auth.services.accounts.register(
        username="ada", email="ada@example.org", display_name="Ada", password=PASSWORD, origin=HERE
    )
    assert user.scopes == tuple(sorted(DEFAULT_SCOPES))
    assert PASSWORD not in user.password_hash
    assert auth.database.events == [("user.registered", user.id)]


async def test_a_closed_registration_refuses_strangers_but_not_the_operator(fast_hasher: PasswordHasher) -> None:
    auth = await unit_auth(fast_hasher, registration="closed")
    with pytest.raises(RegistrationClosed):
        await auth.services.accounts.register(
            username="ada", email=None, display_name=None, password=PASSWORD, origin=HERE
        )
    assert (await auth.user("ada")).username == "ada"


async def test_a_weak_password_creates_no_account(auth: UnitAuth) -> None:
    for password in ("short", "ada@example.org"):
        with pytest.raises(PasswordTooWeak):
            await auth.services.accounts.create(username="ada", email="ada@example.org", password=password, origin=HERE)
    assert auth.database.users == {}


async def test_ensuring_an_account_twice_keeps_its_password(auth: UnitAuth) -> None:
    first = await auth.user("ada")
    again = await auth.services.accounts.ensure(username="ADA", password=NEW_PASSWORD)
    assert again == first


async def test_ensuring_an_account_whose_address_is_taken_fails(auth: UnitAuth) -> None:
    await auth.user("ada")
    with pytest.raises(AccountExists):
        await auth.services.accounts.ensure(username="bea", email="ada@example.org", password=PASSWORD)


async def test_a_missing_and_a_disabled_account_are_told_apart(auth: UnitAuth) -> None:
    user = await auth.user()
    principal = await auth.principal(await auth.login())
    auth.change(user.id, status="disabled")
    with pytest.raises(AccountDisabled):
        await auth.services.accounts.me(principal)
    del auth.database.users[user.id]
    with pytest.raises(TokenInvalid):
        await auth.services.accounts.me(principal)


async def test_a_profile_change_reports_only_what_changed(auth: UnitAuth) -> None:
    user = await auth.user()
    principal = await auth.principal(await auth.login())
    changed = await auth.services.accounts.change(principal, {"display_name": "Ada", "email": user.email}, HERE)
    assert changed.display_name == "Ada"
    assert auth.database.audit[-1].detail == {"changed": ["display_name"]}


async def test_a_new_password_ends_the_other_sessions_and_is_copied_to_the_cache(auth: UnitAuth) -> None:
    await auth.user()
    here, there = await auth.principal(await auth.login()), await auth.principal(await auth.login())
    await auth.services.accounts.change_password(here, PASSWORD, NEW_PASSWORD, HERE)
    assert [str(subject) for _, subject in auth.cache.entries] == [there.session_id]
    assert (await auth.login(password=NEW_PASSWORD)).refresh_token is not None


async def test_a_wrong_current_password_changes_nothing(auth: UnitAuth) -> None:
    user = await auth.user()
    principal = await auth.principal(await auth.login())
    with pytest.raises(ValidationFailed) as refused:
        await auth.services.accounts.change_password(principal, "wrong", NEW_PASSWORD, HERE)
    assert refused.value.errors[0].pointer == "/current_password"
    assert auth.database.users[user.id].password_hash == user.password_hash
