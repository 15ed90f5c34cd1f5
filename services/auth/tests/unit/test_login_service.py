"""Password login, over in-memory stores."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from auth.accounts.login import LoginService
from auth.errors import LoginThrottled
from auth.security.login_failures import MemoryFailureCounter
from auth.security.login_throttle import LoginThrottle
from auth.security.password_hashing import HashCost, HashSlot, PasswordHasher
from auth_testing.app import PASSWORD
from auth_testing.unit_services import ELSEWHERE, FAST_HASH, HERE, UnavailableCounter, UnitAuth


@pytest.fixture
def login(auth: UnitAuth, fast_hasher: PasswordHasher) -> LoginService:
    throttle = LoginThrottle(UnavailableCounter(), MemoryFailureCounter())
    return LoginService(auth.services.stores.accounts, fast_hasher, throttle)


async def test_the_name_and_the_address_log_in_in_any_spelling(auth: UnitAuth, login: LoginService) -> None:
    user = await auth.user("ada")
    for text in ("ada", " ADA ", "Ada@Example.ORG"):
        found = await login.authenticate(text, PASSWORD, HERE)
        assert found is not None
        assert found.id == user.id


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", PASSWORD)])
async def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(
    auth: UnitAuth, login: LoginService, name: str, password: str
) -> None:
    await auth.user("ada")
    assert await login.authenticate(name, password, HERE) is None


class CountedHasher(PasswordHasher):
    """Counts the hashes that it makes and compares."""

    count = 0

    @contextlib.asynccontextmanager
    async def slot(self, client: str | None = None) -> AsyncIterator[HashSlot]:
        self.count += 1
        async with super().slot(client) as slot:
            yield slot


async def test_an_unknown_name_costs_the_same_hash_as_a_wrong_password(auth: UnitAuth) -> None:
    user = await auth.user("ada")
    with contextlib.closing(CountedHasher(workers=1, queue=10, cost=FAST_HASH)) as hasher:
        throttle = LoginThrottle(UnavailableCounter(), MemoryFailureCounter())
        login, dummy = LoginService(auth.services.stores.accounts, hasher, throttle), await hasher.dummy()
        for name in ("ada", "nobody"):
            hasher.count = 0
            assert await login.authenticate(name, "wrong", HERE) is None
            assert hasher.count == 1
    assert dummy.split("$")[:4] == user.password_hash.split("$")[:4]


async def test_a_disabled_account_does_not_log_in(auth: UnitAuth, login: LoginService) -> None:
    user = await auth.user("ada")
    auth.change(user.id, status="disabled")
    assert await login.authenticate("ada", PASSWORD, HERE) is None


async def test_failures_delay_only_their_own_address_even_without_redis(auth: UnitAuth, login: LoginService) -> None:
    await auth.user("ada")
    for _ in range(5):
        assert await login.authenticate("ada", "wrong", HERE) is None
    with pytest.raises(LoginThrottled):
        await login.authenticate("ada@example.org", PASSWORD, HERE)
    assert await login.authenticate("ada", PASSWORD, ELSEWHERE) is not None


async def test_unknown_names_are_delayed_like_known_ones(login: LoginService) -> None:
    for _ in range(5):
        assert await login.authenticate("nobody", "wrong", HERE) is None
    with pytest.raises(LoginThrottled):
        await login.authenticate("nobody", "wrong", HERE)


async def test_an_outdated_hash_is_replaced_at_the_next_login(auth: UnitAuth, login: LoginService) -> None:
    user = await auth.user("ada")
    older = PasswordHasher(workers=1, queue=1, cost=HashCost(memory_kib=16, iterations=2))
    outdated = await older.hash(PASSWORD)
    older.close()
    auth.change(user.id, password_hash=outdated)
    assert await login.authenticate("ada", PASSWORD, HERE) is not None
    renewed = auth.database.users[user.id].password_hash
    assert renewed != outdated
    assert f"m={FAST_HASH.memory_kib},t={FAST_HASH.iterations}," in renewed


async def test_confirming_a_password_counts_failures_too(auth: UnitAuth, login: LoginService) -> None:
    user = await auth.user("ada")
    assert await login.confirm(user, PASSWORD, HERE)
    for _ in range(5):
        assert not await login.confirm(user, "wrong", HERE)
    with pytest.raises(LoginThrottled):
        await login.confirm(user, PASSWORD, HERE)


async def test_two_logins_at_once_with_an_outdated_hash_both_succeed(auth: UnitAuth, login: LoginService) -> None:
    user = await auth.user("ada")
    older = PasswordHasher(workers=1, queue=1, cost=HashCost(memory_kib=16, iterations=2))
    auth.change(user.id, password_hash=await older.hash(PASSWORD))
    older.close()
    found = await asyncio.gather(*(login.authenticate("ada", PASSWORD, HERE) for _ in range(4)))
    assert {user and user.password_hash for user in found} == {auth.database.users[user.id].password_hash}
