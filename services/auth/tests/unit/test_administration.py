"""Administrators and the operator, over in-memory stores."""

import pytest

from auth.audit.model import RequestOrigin
from auth.errors import LastAdmin, PasswordTooWeak
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


@pytest.mark.parametrize("user_id", ["malformed", "01a200a7-0000-7000-8000-000000000001"])
async def test_an_unknown_account_is_not_found(auth: UnitAuth, user_id: str) -> None:
    with pytest.raises(NotFound):
        await auth.services.administration.find(user_id)


async def test_the_operator_creates_an_administrator_with_a_generated_password(auth: UnitAuth) -> None:
    grant = await auth.services.operator.make_admin("root")
    assert grant.created
    assert grant.password is not None
    assert grant.password not in repr(grant)
    assert ADMIN_SCOPE in (await auth.login("root", grant.password)).scopes


async def test_the_operator_promotes_an_account_and_keeps_its_password(auth: UnitAuth) -> None:
    await auth.user("ada")
    grant = await auth.services.operator.make_admin("ADA", password=NEW_PASSWORD)
    assert (grant.created, grant.password) == (False, None)
    assert ADMIN_SCOPE in (await auth.login("ada", PASSWORD)).scopes


async def test_a_password_chosen_by_the_operator_obeys_the_policy(auth: UnitAuth) -> None:
    with pytest.raises(PasswordTooWeak):
        await auth.services.operator.make_admin("root", password="short")
    grant = await auth.services.operator.make_admin("root", password=NEW_PASSWORD)
    assert grant.password is None


async def test_the_operator_resets_a_password_by_name_or_address(auth: UnitAuth) -> None:
    await auth.user("ada")
    for login in ("ada", "ADA@example.org"):
        reset = await auth.services.operator.issue_reset(login)
        assert reset.token not in repr(reset)
        await auth.services.password_resets.use(reset.token, NEW_PASSWORD, HERE)
    with pytest.raises(NotFound):
        await auth.services.operator.issue_reset("nobody")


async def test_the_operator_rotates_the_signing_key(auth: UnitAuth) -> None:
    kid = await auth.services.operator.rotate_signing_key()
    assert kid == auth.services.keys.jwks()["keys"][-1]["kid"]
