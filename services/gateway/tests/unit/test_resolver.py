"""Names that stand for several replicas, which come and go."""

import asyncio

from gateway.upstream.connection import Unreachable
from gateway.upstream.endpoint import Address
from gateway.upstream.pool import Pool, PoolLimits
from gateway.upstream.resolver import PAUSE, Resolver, find
from parley_testing import eventually


async def test_a_name_is_looked_up_and_keeps_its_name() -> None:
    found = await find(Address("localhost", 8002))
    assert [(a.host, a.port, a.name) for a in found] in (
        [("127.0.0.1", 8002, b"localhost:8002")],
        [("::1", 8002, b"localhost:8002")],
    )


async def test_a_name_that_is_unknown_stands_for_nothing_now() -> None:
    assert await find(Address("no-such-host.invalid", 1)) == []


def test_literal_addresses_need_no_looking_up() -> None:
    assert not Resolver(Pool("chat", [Address("10.0.0.1", 80), Address("::1", 80)], PoolLimits())).needed
    assert Resolver(Pool("chat", [Address("chat", 80)], PoolLimits())).needed


def test_replicas_that_stay_keep_their_state() -> None:
    stays, goes = Address("10.0.0.1", 80), Address("10.0.0.2", 80)
    pool = Pool("chat", [stays, goes], PoolLimits())
    pool.replace([Address("10.0.0.1", 80), Address("10.0.0.3", 80)])
    assert pool.addresses[0] is stays
    assert [a.host for a in pool.addresses] == ["10.0.0.1", "10.0.0.3"]


async def test_the_successor_of_a_replica_that_refuses_is_looked_up_at_once() -> None:
    known = [Address("10.0.0.1", 80)]

    async def look_up(_name: Address) -> list[Address]:
        return list(known)

    pool = Pool("chat", [Address("chat", 80)], PoolLimits())
    watching = asyncio.create_task(Resolver(pool, look_up).watch())
    try:
        await eventually(lambda: pool.addresses[0].host == "10.0.0.1")
        known[:] = [Address("10.0.0.2", 80)]
        pool.note_failure(pool.addresses[0], Unreachable(refused=True))
        await eventually(lambda: pool.addresses[0].host == "10.0.0.2", within=PAUSE / 2)
        known[:] = [Address("10.0.0.3", 80)]
        pool.note_draining(pool.addresses[0])
        await eventually(lambda: pool.addresses[0].host == "10.0.0.3", within=PAUSE / 2)
    finally:
        watching.cancel()
        await asyncio.wait({watching})
