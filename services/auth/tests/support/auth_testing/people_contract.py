"""Behaviour of invited accounts, searches and the number of API keys that every implementation of the stores has."""

import secrets

import pytest

from auth.accounts.model import NewUser, Status, User
from auth.api_keys.model import TooManyApiKeysError
from auth.container import AuthStores
from auth.errors import AccountExists
from auth.security.scopes import DEFAULT_SCOPES
from auth_testing.store_samples import ORIGIN, add_user, new_key
from parley.ids import new_id


async def invite(stores: AuthStores) -> User:
    """Add an account whose owner has not chosen a password."""
    name = f"user-{secrets.token_hex(6)}"
    return await stores.accounts.add(
        NewUser(new_id(), name, None, None, "hash", DEFAULT_SCOPES, status="invited"), ORIGIN
    )


async def set_status(stores: AuthStores, user: User, status: Status) -> Status:
    """Change the status as an administrator does; return the status of the account after it."""
    after = await stores.accounts.administer(user.id, status=status, plan=None, scopes=None, origin=ORIGIN)
    assert after is not None
    return after.status


async def choose_password(stores: AuthStores, user: User) -> None:
    """Use a new password link of the account."""
    digest = secrets.token_bytes(32)
    assert await stores.password_resets.issue(user.id, digest, 3600, ORIGIN)
    assert await stores.password_resets.use(digest, "new", ORIGIN, end_api_keys=True)


class PeopleContract:
    """Tests of invited accounts, of searches by administrators and of the bound on API keys."""

    async def test_an_invited_account_becomes_active_with_its_first_password(self, stores: AuthStores) -> None:
        name = f"user-{secrets.token_hex(6)}"
        new = NewUser(new_id(), name, None, None, "hash", DEFAULT_SCOPES, plan="gold", status="invited")
        user = await stores.accounts.add(new, ORIGIN)
        assert (user.status, user.plan, user.active) == ("invited", "gold", False)
        digest = secrets.token_bytes(32)
        assert await stores.password_resets.issue(user.id, digest, 3600, ORIGIN)
        assert await stores.password_resets.use(digest, "new", ORIGIN, end_api_keys=True)
        after = await stores.accounts.by_id(user.id)
        assert after is not None
        assert (after.status, after.password_hash) == ("active", "new")
        found = await stores.audit.read({"target": str(user.id), "action": "user.updated"}, before=None, limit=5)
        assert [entry.detail for entry in found] == [{"changed": ["status"]}]

    async def test_an_invited_account_can_be_disabled(self, stores: AuthStores) -> None:
        user = await invite(stores)
        assert await set_status(stores, user, "disabled") == "disabled"
        found = await stores.audit.read({"target": str(user.id)}, before=None, limit=1)
        assert found[0].action == "user.disabled"

    async def test_a_disabled_invitation_is_an_invitation_again_when_the_account_is_enabled(
        self, stores: AuthStores
    ) -> None:
        user = await invite(stores)
        for _ in range(2):
            assert await set_status(stores, user, "disabled") == "disabled"
            assert await set_status(stores, user, "active") == "invited"
        assert await set_status(stores, user, "active") == "invited"
        await choose_password(stores, user)
        assert await set_status(stores, user, "disabled") == "disabled"
        assert await set_status(stores, user, "active") == "active"

    async def test_an_invitation_that_is_used_while_the_account_is_disabled_is_accepted(
        self, stores: AuthStores
    ) -> None:
        user = await invite(stores)
        await set_status(stores, user, "disabled")
        await choose_password(stores, user)
        assert await set_status(stores, user, "active") == "active"

    async def test_an_account_that_was_created_with_a_password_is_active_when_it_is_enabled(
        self, stores: AuthStores
    ) -> None:
        user = await add_user(stores)
        await set_status(stores, user, "disabled")
        assert await set_status(stores, user, "active") == "active"

    async def test_a_search_matches_the_beginning_of_a_name_or_address_and_a_scope(self, stores: AuthStores) -> None:
        user = await add_user(stores, scopes=("account",))
        other = await add_user(stores)
        assert user.email is not None
        for text, found in ((user.username.upper(), True), (user.email, True), (user.username[1:], False)):
            users = await stores.accounts.search(text=text, status=None, plan=None, before=None, limit=10)
            assert ([each.id for each in users] == [user.id]) == found
        writers = await stores.accounts.search(
            text="user-", status=None, plan=None, before=None, limit=100, scope="chat:write"
        )
        assert other.id in {each.id for each in writers}
        assert user.id not in {each.id for each in writers}

    async def test_user_names_are_found_by_id_without_accounts_that_do_not_exist(self, stores: AuthStores) -> None:
        user, other = await add_user(stores), await add_user(stores)
        found = await stores.accounts.usernames([user.id, other.id, new_id()])
        assert found == {user.id: user.username, other.id: other.username}
        assert await stores.accounts.usernames([]) == {}

    async def test_an_administrator_changes_profile_and_plan_together_or_not_at_all(self, stores: AuthStores) -> None:
        user, other = await add_user(stores), await add_user(stores)
        with pytest.raises(AccountExists):
            await stores.accounts.administer(
                user.id, status=None, plan="gold", scopes=None, origin=ORIGIN, profile={"email": other.email}
            )
        unchanged = await stores.accounts.by_id(user.id)
        assert unchanged is not None
        assert unchanged.plan == "default"
        profile = {"email": f"new-{user.email}", "display_name": "Ada"}
        after = await stores.accounts.administer(
            user.id, status=None, plan="gold", scopes=None, origin=ORIGIN, profile=profile
        )
        assert after is not None
        assert (after.email, after.display_name, after.plan) == (f"new-{user.email}", "Ada", "gold")
        entries = await stores.audit.read({"target": str(user.id), "action": "user.updated"}, before=None, limit=5)
        assert [entry.detail["changed"] for entry in entries] == [["email", "display_name", "plan"]]

    async def test_an_account_has_a_bounded_number_of_api_keys(self, stores: AuthStores) -> None:
        user, stranger = await add_user(stores), await add_user(stores)

        async def add(owner: object = user, *, seconds: float | None = None, once: str | None = None) -> None:
            key = new_key(user if owner is user else stranger, seconds=seconds)
            digest = secrets.token_bytes(32)
            await stores.api_keys.add(key, digest, idempotency_key=once, fingerprint=b"", origin=ORIGIN, max_keys=2)

        await add(once="first")
        await add(seconds=-1)
        await add()
        await add(once="first")
        with pytest.raises(TooManyApiKeysError):
            await add()
        await add(stranger)
        keys = await stores.api_keys.live(user.id, before=None, limit=10)
        assert len(keys) == 2
        await stores.api_keys.delete(user.id, keys[0].id, ORIGIN)
        await add()
