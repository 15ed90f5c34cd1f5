"""Grants of the token endpoint, over in-memory stores."""

import json

import pytest

from auth.errors import (
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    OAuthInvalidRequest,
    UnauthorizedClient,
    UnsupportedGrantType,
)
from auth.security import secret_tokens
from auth.security.password_hashing import PasswordHasher
from auth.tokens.grants import API_KEY_TOKEN_TYPE, TOKEN_EXCHANGE
from auth_testing.app import GATEWAY_SECRET
from auth_testing.unit_services import HERE, UnitAuth, unit_auth
from parley.errors import TokenRevoked


async def create_key(auth: UnitAuth, *scopes: str) -> str:
    principal = await auth.principal(await auth.login())
    _, secret = await auth.services.api_keys.create(
        principal, name="ci", scopes=list(scopes), expiry=None, idempotency_key=None, origin=HERE
    )
    assert secret is not None
    return secret


async def test_a_password_grant_starts_a_session_and_its_tokens_name_it(auth: UnitAuth) -> None:
    user = await auth.user()
    granted = await auth.login(scope="account history:read")
    principal = await auth.principal(granted)
    (stored,) = auth.database.sessions.values()
    assert (principal.user_id, principal.session_id) == (user.id, str(stored.session.id))
    assert granted.scopes == ["account", "history:read"]
    assert stored.current == secret_tokens.digest(granted.refresh_token or "")


async def test_a_scope_that_the_account_lacks_starts_no_session(auth: UnitAuth) -> None:
    await auth.user()
    with pytest.raises(InvalidScope):
        await auth.login(scope="admin")
    assert auth.database.sessions == {}


async def test_a_refresh_returns_the_same_successor_to_a_retry(auth: UnitAuth) -> None:
    await auth.user()
    first = (await auth.login()).refresh_token
    second, again = await auth.refresh(first), await auth.refresh(first)
    assert second.refresh_token == again.refresh_token != first


async def test_a_reused_refresh_token_ends_the_session_and_its_access_tokens(auth: UnitAuth) -> None:
    await auth.user()
    granted = await auth.login()
    second = await auth.refresh(granted.refresh_token)
    third = await auth.refresh(second.refresh_token)
    with pytest.raises(InvalidGrant):
        await auth.refresh(granted.refresh_token)
    with pytest.raises(InvalidGrant):
        await auth.refresh(third.refresh_token)
    with pytest.raises(TokenRevoked):
        await auth.principal(third)
    assert len(auth.cache.entries) == 1


async def test_a_retry_after_the_reuse_window_counts_as_theft(auth: UnitAuth) -> None:
    await auth.user()
    first = (await auth.login()).refresh_token
    await auth.refresh(first)
    auth.clock.forward(11)
    with pytest.raises(InvalidGrant):
        await auth.refresh(first)


async def test_an_idle_session_cannot_be_refreshed(auth: UnitAuth) -> None:
    await auth.user()
    token = (await auth.login()).refresh_token
    auth.clock.forward(2_592_001)
    with pytest.raises(InvalidGrant):
        await auth.refresh(token)


async def test_a_refused_refresh_does_not_use_the_token(auth: UnitAuth) -> None:
    user = await auth.user()
    token = (await auth.login()).refresh_token
    with pytest.raises(InvalidScope):
        await auth.refresh(token, scope="admin")
    with pytest.raises(InvalidGrant):
        await auth.refresh(token, client_id="another-app")
    auth.change(user.id, scopes=("account",))
    with pytest.raises(InvalidScope):
        await auth.refresh(token, scope="chat:write")
    (stored,) = auth.database.sessions.values()
    assert stored.rotated_at is None


async def test_a_scope_removed_from_the_account_is_gone_after_a_refresh(auth: UnitAuth) -> None:
    user = await auth.user()
    token = (await auth.login()).refresh_token
    auth.change(user.id, scopes=("account",))
    assert (await auth.refresh(token)).scopes == ["account"]


async def test_a_disabled_account_gets_no_token(auth: UnitAuth) -> None:
    user = await auth.user()
    token = (await auth.login()).refresh_token
    auth.change(user.id, status="disabled")
    for attempt in (auth.login(), auth.refresh(token)):
        with pytest.raises(InvalidGrant):
            await attempt


async def test_an_api_key_is_exchanged_for_a_token_without_refresh(auth: UnitAuth) -> None:
    user = await auth.user()
    secret = await create_key(auth, "chat:write", "history:read")
    form = {"grant_type": TOKEN_EXCHANGE, "subject_token_type": API_KEY_TOKEN_TYPE, "subject_token": secret}
    granted = await auth.grant(**form, scope="history:read")
    principal = await auth.principal(granted)
    assert (principal.user_id, principal.client_id, principal.scopes) == (
        user.id,
        "api-key",
        frozenset({"history:read"}),
    )
    assert granted.refresh_token is None
    with pytest.raises(InvalidScope):
        await auth.grant(**form, scope="account")
    with pytest.raises(InvalidGrant):
        await auth.grant(**(form | {"subject_token": secret[:-1] + "!"}))
    with pytest.raises(OAuthInvalidRequest):
        await auth.grant(**(form | {"subject_token_type": "password"}))


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [("parley-gateway", "wrong"), ("gateway", GATEWAY_SECRET), ("parley-unknown", GATEWAY_SECRET), ("", "")],
)
async def test_a_service_needs_its_name_and_its_secret(auth: UnitAuth, client_id: str, secret: str) -> None:
    with pytest.raises(InvalidClient):
        await auth.grant(grant_type="client_credentials", client_id=client_id, client_secret=secret)


async def test_a_service_gets_the_internal_scope_and_no_other(auth: UnitAuth) -> None:
    form = {"grant_type": "client_credentials", "client_id": "parley-gateway", "client_secret": GATEWAY_SECRET}
    assert (await auth.grant(**form)).scopes == ["internal"]
    with pytest.raises(InvalidScope):
        await auth.grant(**form, scope="admin")


async def test_while_the_secret_of_a_service_is_rotated_the_old_and_the_new_one_are_valid(
    fast_hasher: PasswordHasher,
) -> None:
    new = "n" * 32
    auth = await unit_auth(fast_hasher, internal_clients=json.dumps({"gateway": [GATEWAY_SECRET, new]}))
    form = {"grant_type": "client_credentials", "client_id": "parley-gateway"}
    for secret in (GATEWAY_SECRET, new):
        assert (await auth.grant(**form, client_secret=secret)).scopes == ["internal"]
    with pytest.raises(InvalidClient):
        await auth.grant(**form, client_secret=GATEWAY_SECRET + new)


@pytest.mark.parametrize("client_id", ["api-key", "parley-gateway", "gateway"])
async def test_people_cannot_log_in_as_a_service(auth: UnitAuth, client_id: str) -> None:
    await auth.user()
    with pytest.raises(UnauthorizedClient):
        await auth.login(client_id=client_id)


async def test_a_malformed_request_is_refused_by_name(auth: UnitAuth) -> None:
    with pytest.raises(UnsupportedGrantType, match="client_credentials"):
        await auth.grant(grant_type="implicit")
    with pytest.raises(OAuthInvalidRequest, match="grant_type"):
        await auth.grant()
    with pytest.raises(OAuthInvalidRequest, match="client_id"):
        await auth.login(client_id="x" * 65)
