"""Login throttle."""

import pytest

from auth.errors import LoginThrottled
from auth.security.login_failures import FailureCount, MemoryFailureCounter
from auth.security.login_throttle import OUTAGE_PAUSE, LoginThrottle
from auth_testing.unit_services import UnavailableCounter
from parley_testing.fakes.manual_clock import ManualClock

HERE, THERE = "203.0.113.7", "198.51.100.9"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def throttle(clock: ManualClock) -> LoginThrottle:
    return LoginThrottle(MemoryFailureCounter(clock=clock), MemoryFailureCounter(clock=clock))


async def fail(throttle: LoginThrottle, times: int, account: str = "ada", address: str = HERE) -> None:
    for _ in range(times):
        await throttle.record_failure(account, address)


async def wait_of(throttle: LoginThrottle, account: str = "ada", address: str = HERE) -> int:
    try:
        await throttle.check(account, address)
    except LoginThrottled as error:
        return int(error.headers["Retry-After"])
    return 0


async def test_the_delay_doubles_from_the_fifth_failure_on(throttle: LoginThrottle) -> None:
    await fail(throttle, 4)
    assert await wait_of(throttle) == 0
    found = []
    for _ in range(12):
        await fail(throttle, 1)
        found.append(await wait_of(throttle))
    assert found == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


async def test_the_delay_ends_and_failures_expire_after_fifteen_minutes(
    throttle: LoginThrottle, clock: ManualClock
) -> None:
    await fail(throttle, 8)
    assert await wait_of(throttle) == 8
    clock.now += 8
    assert await wait_of(throttle) == 0
    clock.now += 900
    await fail(throttle, 4)
    assert await wait_of(throttle) == 0


async def test_a_success_clears_the_failures_of_the_account_at_this_address(throttle: LoginThrottle) -> None:
    await fail(throttle, 10)
    await throttle.record_success("ada", HERE)
    assert await wait_of(throttle) == 0


async def test_failures_at_other_addresses_do_not_lock_an_account(throttle: LoginThrottle) -> None:
    for number in range(1000):
        await throttle.record_failure("ada", f"198.51.{number % 250}.{number // 250}")
    assert await wait_of(throttle) == 0
    await fail(throttle, 1)
    assert await wait_of(throttle) == 1


async def test_an_address_that_tries_many_accounts_is_delayed(throttle: LoginThrottle) -> None:
    for number in range(30):
        await throttle.record_failure(f"user-{number}", THERE)
    assert await wait_of(throttle, "another", THERE) == 1
    assert await wait_of(throttle, "another", HERE) == 0


async def test_an_ipv6_site_counts_as_one_address(throttle: LoginThrottle) -> None:
    for number in range(5):
        await throttle.record_failure("ada", f"2001:db8::{number:x}")
    assert await wait_of(throttle, address="2001:db8::ffff") == 1
    assert await wait_of(throttle, address="2001:db8:1::1") == 0


async def test_failures_are_counted_locally_without_redis(clock: ManualClock) -> None:
    throttle = LoginThrottle(UnavailableCounter(), MemoryFailureCounter(clock=clock))
    await fail(throttle, 6)
    assert await wait_of(throttle) == 2
    await throttle.record_success("ada", HERE)
    assert await wait_of(throttle) == 0


async def test_the_local_counts_are_bounded(clock: ManualClock) -> None:
    counts = MemoryFailureCounter(capacity=10, clock=clock)
    for number in range(100):
        await counts.add([f"key-{number}"], 900)
    assert [found.count for found in await counts.read(["key-0", "key-99"])] == [0, 1]
    assert len(counts) == 10


class CountedOutage(UnavailableCounter):
    """Failure counts of a Redis that is unavailable, and the number of calls."""

    calls = 0

    async def read(self, keys: object) -> list[FailureCount]:
        self.calls += 1
        return await super().read(keys)

    async def add(self, keys: object, window: int) -> None:
        self.calls += 1
        await super().add(keys, window)


async def test_logins_do_not_wait_in_turn_for_a_redis_that_is_away(clock: ManualClock) -> None:
    shared = CountedOutage()
    throttle = LoginThrottle(shared, MemoryFailureCounter(clock=clock), clock=clock)
    await fail(throttle, 6)
    assert await wait_of(throttle) == 2
    assert shared.calls == 1
    clock.now += OUTAGE_PAUSE
    await fail(throttle, 1)
    assert shared.calls == 2
