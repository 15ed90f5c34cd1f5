"""Names that stand for several replicas, which come and go."""

from gateway.replica import Address
from gateway.resolver import Resolver, look_up
from gateway.upstream import Pool, PoolLimits


async def test_a_name_is_looked_up_and_keeps_its_name() -> None:
    found = await look_up(Address("localhost", 8002))
    assert [(a.host, a.port, a.name) for a in found] in (
        [("127.0.0.1", 8002, b"localhost:8002")],
        [("::1", 8002, b"localhost:8002")],
    )


async def test_a_name_that_is_unknown_stands_for_nothing_now() -> None:
    assert await look_up(Address("no-such-host.invalid", 1)) == []


def test_literal_addresses_need_no_looking_up() -> None:
    assert not Resolver(Pool("chat", [Address("10.0.0.1", 80), Address("::1", 80)], PoolLimits())).needed
    assert Resolver(Pool("chat", [Address("chat", 80)], PoolLimits())).needed


def test_replicas_that_stay_keep_their_state() -> None:
    stays, goes = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
    pool = Pool("chat", [stays, goes], PoolLimits())
    pool.replace([Address("10.0.0.1", 80), Address("10.0.0.3", 80)])
    assert pool.addresses[0] is stays
    assert [a.host for a in pool.addresses] == ["10.0.0.1", "10.0.0.3"]
