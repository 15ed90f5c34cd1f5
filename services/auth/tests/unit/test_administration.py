"""Administrators and the operator, over in-memory stores."""

import pytest

from auth.administration.creation import AccountRequest
from auth.audit.model import RequestOrigin
from auth.errors import AccountExists, LastAdmin, PasswordTooWeak
from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth_testing.app import PASSWORD
from auth_testing.unit_services import HERE, UnitAuth
from parley.errors import NotFound, TokenRevoked, ValidationFailed
from parley.ids import new_id

NEW_PASSWORD = "quite another long sentence"


async def test_a_disabled_account_loses_its_tokens(auth: UnitAuth) -> None:
    user = await auth.user()
    granted = await auth.login()
    changed = await auth.services.administration.change(
        await auth.principal(granted), str(user.id), status="disabled", plan=None, scopes=None, origin=HERE
    )
    assert not changed.active
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)


async def test_a_plan_that_is_not_defined_is_refused(auth: UnitAuth) -> None:
    user = await auth.user()
    caller = await auth.principal(await auth.login())
    with pytest.raises(ValidationFailed) as refused:
        await auth.services.administration.change(
            caller, str(user.id), status=None, plan="gold", scopes=None, origin=HERE
        )
    assert refused.value.errors[0].pointer == "/plan"


async def test_the_last_administrator_cannot_be_demoted(auth: UnitAuth) -> None:
    admin = await auth.user(scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    caller = await auth.principal(await auth.login())
    with pytest.raises(LastAdmin):
        await auth.services.administration.change(caller, str(admin.id), status=None, plan=None, scopes=[], origin=HERE)


async def test_ending_the_sessions_of_an_account_is_audited(auth: UnitAuth) -> None:
    user = await auth.user()
    granted = await auth.login()
    admin = RequestOrigin("user", new_id(), "203.0.113.7")
    await auth.services.administration.end_sessions(str(user.id), admin)
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    filters = {"actor": admin.actor_id, "action": "session.revoked"}
    (entry,) = await auth.services.administration.audit(filters, before=None, limit=10)
    assert (entry.target_id, entry.detail) == (str(user.id), {"reason": "admin", "sessions": 1})


async def test_one_session_of_an_account_ends_alone_and_is_audited(auth: UnitAuth) -> None:
    user = await auth.user()
    stolen, own = await auth.login(), await auth.login()
    session_id = (await auth.principal(stolen)).session_id
    administration, admin = auth.services.administration, RequestOrigin("user", new_id(), "203.0.113.7")
    for user_id, unknown in ((str(new_id()), session_id), (str(user.id), str(new_id())), (str(user.id), "malformed")):
        with pytest.raises(NotFound):
            await administration.end_session(user_id, unknown, admin)
    await administration.end_session(str(user.id), session_id, admin)
    with pytest.raises(TokenRevoked):
        await auth.principal(stolen)
    assert (await auth.principal(own)).user_id == user.id
    filters = {"actor": admin.actor_id, "action": "session.revoked"}
    (entry,) = await administration.audit(filters, before=None, limit=10)
    assert (entry.target_id, entry.detail) == (str(user.id), {"reason": "admin", "sessions": 1})


@pytest.mark.parametrize("user_id", ["malformed", "01a200a7-0000-7000-8000-000000000001"])
async def test_an_unknown_account_is_not_found(auth: UnitAuth, user_id: str) -> None:
    with pytest.raises(NotFound):
        await auth.services.administration.find(user_id)


async def test_the_operator_invites_an_administrator_with_a_link(auth: UnitAuth) -> None:
    assert not await auth.services.operator.has_admin()
    made = await auth.services.operator.make_admin(AccountRequest("root"))
    assert (made.outcome, made.user.status) == ("created", "invited")
    assert made.link is not None
    assert made.link.token not in repr(made)
    await auth.services.password_resets.use(made.link.token, NEW_PASSWORD, HERE)
    assert ADMIN_SCOPE in (await auth.login("root", NEW_PASSWORD)).scopes
    assert await auth.services.operator.has_admin()


async def test_the_operator_promotes_an_account_once_and_keeps_its_password(auth: UnitAuth) -> None:
    await auth.user("ada")
    wanted = AccountRequest("ADA", password=NEW_PASSWORD)
    outcomes = [(await auth.services.operator.make_admin(wanted)).outcome for _ in range(2)]
    assert outcomes == ["changed", "unchanged"]
    assert ADMIN_SCOPE in (await auth.login("ada", PASSWORD)).scopes


async def test_a_password_chosen_by_the_operator_obeys_the_policy(auth: UnitAuth) -> None:
    with pytest.raises(PasswordTooWeak):
        await auth.services.operator.make_admin(AccountRequest("root", password="short"))
    made = await auth.services.operator.make_admin(AccountRequest("root", password=NEW_PASSWORD))
    assert (made.user.status, made.link) == ("active", None)


async def test_the_operator_creates_an_account_once(auth: UnitAuth) -> None:
    wanted = AccountRequest("ada", "ada@example.org")
    outcomes = [(await auth.services.operator.create_user(wanted)).outcome for _ in range(2)]
    assert outcomes == ["created", "unchanged"]
    with pytest.raises(AccountExists):
        await auth.services.operator.create_user(AccountRequest("ada", "other@example.org"))


async def test_the_operator_disables_and_enables_an_account_once_each(auth: UnitAuth) -> None:
    user = await auth.user()
    granted = await auth.login()
    operator = auth.services.operator
    steps = [await operator.set_status("ada", "disabled") for _ in range(2)]
    steps.append(await operator.set_status("ada", "active"))
    assert [step.outcome for step in steps] == ["changed", "unchanged", "changed"]
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    found = await auth.services.administration.audit({"target": str(user.id)}, before=None, limit=10)
    assert {entry.actor_type for entry in found if entry.action == "user.disabled"} == {"operator"}


async def test_enabling_does_not_make_an_invited_account_active(auth: UnitAuth) -> None:
    await auth.services.operator.create_user(AccountRequest("ada"))
    assert (await auth.services.operator.set_status("ada", "active")).user.status == "invited"


async def test_the_operator_erases_an_account(auth: UnitAuth) -> None:
    await auth.user()
    _, erasure = await auth.services.operator.erase("ada@example.org")
    assert erasure.services["auth"] == "confirmed"
    with pytest.raises(NotFound):
        await auth.services.operator.erase("ada")


async def test_the_operator_resets_a_password_by_name_or_address(auth: UnitAuth) -> None:
    await auth.user("ada")
    for login in ("ada", "ADA@example.org"):
        reset = await auth.services.operator.issue_reset(login)
        assert reset.link.token not in repr(reset)
        await auth.services.password_resets.use(reset.link.token, NEW_PASSWORD, HERE)
    with pytest.raises(NotFound):
        await auth.services.operator.issue_reset("nobody")


async def test_the_operator_rotates_the_signing_key(auth: UnitAuth) -> None:
    kid = await auth.services.operator.rotate_signing_key()
    assert kid == auth.services.keys.jwks()["keys"][-1]["kid"]
