"""Sessions of the caller, token revocation and introspection, over in-memory stores."""

import pytest

from auth.security.scopes import ADMIN_SCOPE, DEFAULT_SCOPES
from auth.tokens.grants import API_KEY_TOKEN_TYPE, TOKEN_EXCHANGE
from auth_testing.app import GATEWAY_SECRET
from auth_testing.unit_services import HERE, UnitAuth
from parley.errors import NotFound, TokenRevoked


async def test_sessions_are_listed_newest_first_and_paged(auth: UnitAuth) -> None:
    await auth.user()
    principals = [await auth.principal(await auth.login()) for _ in range(3)]
    first = await auth.services.sessions.list(principals[0], before=None, limit=2)
    rest = await auth.services.sessions.list(principals[0], before=first[-1].id, limit=2)
    assert [str(found.id) for found in (*first, *rest)] == [found.session_id for found in reversed(principals)]


async def test_the_current_session_ends_and_its_token_with_it(auth: UnitAuth) -> None:
    await auth.user()
    granted = await auth.login()
    principal = await auth.principal(granted)
    await auth.services.sessions.end(principal, "current", HERE)
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    with pytest.raises(NotFound):
        await auth.services.sessions.end(principal, "current", HERE)


async def test_a_session_of_another_account_is_not_found(auth: UnitAuth) -> None:
    await auth.user("ada")
    await auth.user("bea")
    ada, bea = await auth.principal(await auth.login("ada")), await auth.principal(await auth.login("bea"))
    for session_id in (bea.session_id, "malformed"):
        with pytest.raises(NotFound):
            await auth.services.sessions.end(ada, session_id, HERE)


async def test_all_sessions_end_except_the_current_one(auth: UnitAuth) -> None:
    await auth.user()
    here, there = await auth.login(), await auth.login()
    await auth.services.sessions.end_others(await auth.principal(here), HERE)
    await auth.principal(here)
    with pytest.raises(TokenRevoked):
        await auth.principal(there)


@pytest.mark.parametrize("kind", ["refresh", "access"])
async def test_revoking_a_token_ends_its_session_in_the_name_of_its_owner(auth: UnitAuth, kind: str) -> None:
    user = await auth.user()
    granted = await auth.login()
    token = granted.refresh_token if kind == "refresh" else granted.access.token
    await auth.services.revoker.revoke(token or "", HERE)
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    assert auth.database.audit[-1].actor_id == user.id


async def test_unknown_tokens_and_tokens_of_api_keys_are_not_revoked(auth: UnitAuth) -> None:
    await auth.user()
    principal = await auth.principal(await auth.login())
    _, secret = await auth.services.api_keys.create(
        principal, name="ci", scopes=["chat:write"], expiry=None, idempotency_key=None, origin=HERE
    )
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": API_KEY_TOKEN_TYPE, "subject_token": secret or ""}
    by_key = await auth.grant(**form)
    for token in ("", "a.b.c", "prt_unknown", by_key.access.token):
        await auth.services.revoker.revoke(token, HERE)
    await auth.principal(by_key)
    assert auth.database.revocations == {}


async def test_a_token_is_introspected_by_its_owner_an_administrator_and_a_service(auth: UnitAuth) -> None:
    await auth.user("ada")
    await auth.user("bea")
    await auth.user("root", scopes=(*DEFAULT_SCOPES, ADMIN_SCOPE))
    granted = await auth.login("ada")
    service = await auth.grant(
        grant_type="client_credentials", client_id="parley-gateway", client_secret=GATEWAY_SECRET
    )
    for inquirer, active in ((granted, True), (await auth.login("root"), True), (service, True)):
        found = await auth.services.inspector.introspect(granted.access.token, await auth.principal(inquirer))
        assert (found["active"], found["username"]) == (active, "ada")
    stranger = await auth.principal(await auth.login("bea"))
    assert await auth.services.inspector.introspect(granted.access.token, stranger) == {"active": False}


async def test_a_revoked_token_is_inactive(auth: UnitAuth) -> None:
    await auth.user()
    granted, other = await auth.login(), await auth.login()
    principal = await auth.principal(other)
    await auth.services.revoker.revoke(granted.access.token, HERE)
    assert await auth.services.inspector.introspect(granted.access.token, principal) == {"active": False}
