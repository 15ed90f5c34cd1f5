"""API keys of the caller, over in-memory stores."""

from datetime import timedelta

import pytest

from auth.api_keys.model import DEFAULT_EXPIRY, MAX_KEYS, ApiKey, Expiry
from auth.errors import InvalidGrant
from auth.security import secret_tokens
from auth.tokens.grants import API_KEY_TOKEN_TYPE, TOKEN_EXCHANGE
from auth_testing.unit_services import HERE, UnitAuth
from parley import times
from parley.errors import NotFound, TokenRevoked, ValidationFailed
from parley.security.identity import Principal
from parley.web.idempotency_keys import IdempotencyKeyReused


@pytest.fixture
async def owner(auth: UnitAuth) -> Principal:
    await auth.user()
    return await auth.principal(await auth.login())


async def create(
    auth: UnitAuth,
    owner: Principal,
    *,
    name: str = "ci",
    scopes: tuple[str, ...] = ("chat:write",),
    expiry: Expiry = DEFAULT_EXPIRY,
    idempotency_key: str | None = None,
) -> tuple[ApiKey, str | None]:
    return await auth.services.api_keys.create(
        owner, name=name, scopes=scopes, expiry=expiry, idempotency_key=idempotency_key, origin=HERE
    )


def exchange_form(secret: str | None) -> dict[str, str]:
    return {"grant_type": TOKEN_EXCHANGE, "subject_token_type": API_KEY_TOKEN_TYPE, "subject_token": secret or ""}


async def test_only_the_digest_of_a_key_is_stored(auth: UnitAuth, owner: Principal) -> None:
    key, secret = await create(auth, owner)
    assert secret is not None
    stored = auth.database.api_keys[key.id]
    assert stored.digest == secret_tokens.digest(secret)
    assert secret.startswith(key.prefix)
    assert secret not in repr(stored)


@pytest.mark.parametrize(
    ("scopes", "seconds", "pointer"), [(("admin",), None, "/scopes"), (("chat:write",), -1, "/expires_at")]
)
async def test_a_key_cannot_exceed_its_creator_or_begin_expired(
    auth: UnitAuth, owner: Principal, scopes: tuple[str, ...], seconds: int | None, pointer: str
) -> None:
    expiry = None if seconds is None else times.now() + timedelta(seconds=seconds)
    with pytest.raises(ValidationFailed) as refused:
        await create(auth, owner, scopes=scopes, expiry=expiry)
    assert refused.value.errors[0].pointer == pointer


async def test_a_replayed_request_returns_the_key_without_its_secret(auth: UnitAuth, owner: Principal) -> None:
    first, _ = await create(auth, owner, idempotency_key="once")
    assert await create(auth, owner, idempotency_key="once") == (first, None)
    with pytest.raises(IdempotencyKeyReused):
        await create(auth, owner, name="another", idempotency_key="once")


async def test_an_account_with_all_its_keys_is_told_to_delete_one(auth: UnitAuth, owner: Principal) -> None:
    first, _ = await create(auth, owner, idempotency_key="once")
    for _ in range(MAX_KEYS - 1):
        await create(auth, owner)
    assert await create(auth, owner, idempotency_key="once") == (first, None)
    with pytest.raises(ValidationFailed) as refused:
        await create(auth, owner)
    assert "100 API keys" in refused.value.errors[0].detail
    await auth.services.api_keys.delete(owner, str(first.id), HERE)
    await create(auth, owner)


async def test_a_deleted_key_and_its_tokens_stop_working(auth: UnitAuth, owner: Principal) -> None:
    key, secret = await create(auth, owner)
    granted = await auth.grant(**exchange_form(secret))
    await auth.services.api_keys.delete(owner, str(key.id), HERE)
    with pytest.raises(TokenRevoked):
        await auth.principal(granted)
    with pytest.raises(InvalidGrant):
        await auth.grant(**exchange_form(secret))
    assert ("session", key.id) in auth.cache.entries


async def test_a_key_of_another_account_is_not_found(auth: UnitAuth, owner: Principal) -> None:
    key, _ = await create(auth, owner)
    await auth.user("bea")
    stranger = await auth.principal(await auth.login("bea"))
    for key_id in (str(key.id), "malformed"):
        with pytest.raises(NotFound):
            await auth.services.api_keys.delete(stranger, key_id, HERE)
    assert await auth.services.api_keys.list(stranger, before=None, limit=10) == []
    assert await auth.services.api_keys.list(owner, before=None, limit=10) == [key]


async def test_a_key_expires_and_its_tokens_expire_with_it(auth: UnitAuth, owner: Principal) -> None:
    _, secret = await create(auth, owner, expiry=times.now() + timedelta(seconds=60))
    assert (await auth.grant(**exchange_form(secret))).access.expires_in <= 60
    auth.clock.forward(61)
    with pytest.raises(InvalidGrant):
        await auth.grant(**exchange_form(secret))
