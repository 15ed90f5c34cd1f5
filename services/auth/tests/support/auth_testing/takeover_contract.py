"""Behaviour of every implementation of the stores when a credential changes."""

import secrets
from uuid import UUID

import pytest

from auth.container import AuthStores
from auth_testing.store_samples import ORIGIN, add_user, new_key, start_session
from parley.errors import TokenRevoked


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
            await stores.accounts.set_password(
                user.id, "new", keep_session=None, end_api_keys=end_api_keys, origin=ORIGIN
            )
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

    async def test_an_ended_session_makes_no_key(self, stores: AuthStores) -> None:
        user = await add_user(stores)
        session = await start_session(stores, user)
        await stores.accounts.set_password(user.id, "new", keep_session=None, end_api_keys=True, origin=ORIGIN)
        with pytest.raises(TokenRevoked):
            await stores.api_keys.add(
                new_key(user),
                secrets.token_bytes(32),
                idempotency_key=None,
                fingerprint=b"",
                origin=ORIGIN,
                session_id=session.id,
            )
