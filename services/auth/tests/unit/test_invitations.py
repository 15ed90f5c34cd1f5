"""Accounts made by administrators, and their invitations, over in-memory stores."""

from dataclasses import replace

import pytest

from auth.administration.creation import AccountRequest, CreatedAccount
from auth.errors import AccountExists, InvalidGrant
from auth.password_resets.service import INVITATION_LIFETIME, RESET_TOKEN_LIFETIME
from auth.security.password_hashing import PasswordHasher
from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth.tokens.token_issuer import API_KEY_CLIENT
from auth_testing.app import PASSWORD
from auth_testing.unit_services import HERE, UnitAuth, unit_auth
from parley.errors import ReauthenticationRequired, ValidationFailed
from parley.security.identity import Principal

CHOSEN = "quite another long sentence"


@pytest.fixture
async def auth(fast_hasher: PasswordHasher) -> UnitAuth:
    return await unit_auth(fast_hasher, registration="closed", public_url="https://chat.example.org")


@pytest.fixture
async def admin(auth: UnitAuth) -> Principal:
    await auth.user("root", scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    return await auth.principal(await auth.login("root"))


async def invite(auth: UnitAuth, admin: Principal, name: str = "ada") -> tuple[CreatedAccount, str]:
    created = await auth.services.administration.create(
        admin, AccountRequest(name, f"{name}@example.org", display_name="Ada"), HERE
    )
    assert created.invitation is not None
    return created, created.invitation.token


async def change_email(auth: UnitAuth, caller: Principal, user_id: object, email: str) -> str | None:
    changed = await auth.services.administration.change(
        caller, str(user_id), status=None, plan=None, scopes=None, origin=HERE, profile={"email": email}
    )
    assert not changed.email_verified
    return changed.email


async def test_an_administrator_adds_a_person_while_registration_is_closed(auth: UnitAuth, admin: Principal) -> None:
    created, token = await invite(auth, admin)
    assert (created.user.status, created.user.display_name) == ("invited", "Ada")
    assert created.invitation is not None
    assert created.invitation.url == f"https://chat.example.org/reset#token={token}"
    await auth.services.password_resets.use(token, CHOSEN, HERE)
    assert (await auth.login("ada", CHOSEN)).refresh_token is not None
    assert auth.database.users[created.user.id].status == "active"
    actions = [entry.action for entry in auth.database.audit if entry.target_id == str(created.user.id)]
    assert actions[:4] == ["user.registered", "password_reset.issued", "user.updated", "password.reset"]


async def test_an_invitation_works_once(auth: UnitAuth, admin: Principal) -> None:
    _, token = await invite(auth, admin)
    await auth.services.password_resets.use(token, CHOSEN, HERE)
    with pytest.raises(ValidationFailed):
        await auth.services.password_resets.use(token, PASSWORD, HERE)


async def test_an_invitation_expires_after_seven_days(auth: UnitAuth, admin: Principal) -> None:
    _, early = await invite(auth, admin)
    _, late = await invite(auth, admin, "bea")
    auth.clock.forward(INVITATION_LIFETIME - 60)
    await auth.services.password_resets.use(early, CHOSEN, HERE)
    auth.clock.forward(61)
    with pytest.raises(ValidationFailed):
        await auth.services.password_resets.use(late, CHOSEN, HERE)


async def test_a_new_link_for_an_invited_account_lasts_as_long_and_voids_the_first(
    auth: UnitAuth, admin: Principal
) -> None:
    _, first = await invite(auth, admin)
    second = (await auth.services.operator.issue_reset("ada")).link
    auth.clock.forward(RESET_TOKEN_LIFETIME + 1)
    with pytest.raises(ValidationFailed):
        await auth.services.password_resets.use(first, CHOSEN, HERE)
    await auth.services.password_resets.use(second.token, CHOSEN, HERE)


async def test_an_invited_account_cannot_log_in_or_be_enabled(auth: UnitAuth, admin: Principal) -> None:
    created, _ = await invite(auth, admin)
    with pytest.raises(InvalidGrant):
        await auth.login("ada", CHOSEN)
    with pytest.raises(ValidationFailed) as refused:
        await auth.services.administration.change(
            admin, str(created.user.id), status="active", plan=None, scopes=None, origin=HERE
        )
    assert refused.value.errors[0].pointer == "/status"


async def test_a_disabled_invitation_does_not_make_the_account_active(auth: UnitAuth, admin: Principal) -> None:
    created, token = await invite(auth, admin)
    await auth.services.operator.set_status("ada", "disabled")
    await auth.services.password_resets.use(token, CHOSEN, HERE)
    assert auth.database.users[created.user.id].status == "disabled"


async def test_an_enabled_invitation_works_and_its_account_cannot_log_in_before(
    auth: UnitAuth, admin: Principal
) -> None:
    created, token = await invite(auth, admin)
    for status in ("disabled", "active"):
        changed = await auth.services.administration.change(
            admin, str(created.user.id), status=status, plan=None, scopes=None, origin=HERE
        )
    assert changed.status == "invited"
    with pytest.raises(InvalidGrant):
        await auth.login("ada", CHOSEN)
    await auth.services.password_resets.use(token, CHOSEN, HERE)
    await auth.login("ada", CHOSEN)


async def test_the_operator_enables_a_disabled_invitation_once(auth: UnitAuth, admin: Principal) -> None:
    await invite(auth, admin)
    await auth.services.operator.set_status("ada", "disabled")
    found = await auth.services.operator.set_status("ada", "active")
    assert (found.outcome, found.user.status) == ("changed", "invited")
    again = await auth.services.operator.set_status("ada", "active")
    assert (again.outcome, again.user.status) == ("unchanged", "invited")


async def test_an_account_with_a_password_is_active_and_has_no_invitation(auth: UnitAuth, admin: Principal) -> None:
    created = await auth.services.administration.create(admin, AccountRequest("ada", password=CHOSEN), HERE)
    assert (created.user.status, created.invitation) == ("active", None)
    await auth.login("ada", CHOSEN)


async def test_a_taken_name_and_an_unknown_plan_are_refused(auth: UnitAuth, admin: Principal) -> None:
    await invite(auth, admin)
    with pytest.raises(AccountExists):
        await auth.services.administration.create(admin, AccountRequest("ADA"), HERE)
    with pytest.raises(ValidationFailed) as refused:
        await auth.services.administration.create(admin, AccountRequest("bea", plan="gold"), HERE)
    assert refused.value.errors[0].pointer == "/plan"


async def test_a_stolen_token_makes_no_account_and_changes_no_address(auth: UnitAuth, admin: Principal) -> None:
    assert admin.auth_time is not None
    stolen = replace(admin, auth_time=admin.auth_time - 600)
    with pytest.raises(ReauthenticationRequired):
        await auth.services.administration.create(stolen, AccountRequest("ada"), HERE)
    with pytest.raises(ReauthenticationRequired):
        await change_email(auth, stolen, admin.user_id, "thief@example.org")


async def test_an_api_key_makes_accounts_but_no_administrators(auth: UnitAuth, admin: Principal) -> None:
    key = replace(admin, client_id=API_KEY_CLIENT, auth_time=None)
    await auth.services.administration.create(key, AccountRequest("ada"), HERE)
    with pytest.raises(ReauthenticationRequired):
        await auth.services.administration.create(key, AccountRequest("bea", scopes=(ADMIN_SCOPE,)), HERE)


async def test_another_address_voids_the_link_that_went_to_the_old_one(auth: UnitAuth, admin: Principal) -> None:
    created, token = await invite(auth, admin)
    assert await change_email(auth, admin, created.user.id, "right@example.org") == "right@example.org"
    with pytest.raises(ValidationFailed):
        await auth.services.password_resets.use(token, CHOSEN, HERE)
