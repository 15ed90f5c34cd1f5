"""Appending to the outbox: within the caller's transaction, and numbered without gaps."""

import asyncio
from datetime import UTC, datetime

import orjson
import pytest

from parley.ids import new_id
from parley.messaging import outbox
from parley.storage.postgres import Pool
from parley_events.models import UserErased

pytestmark = pytest.mark.integration


def erased() -> UserErased:
    return UserErased(user_id=new_id(), erasure_id="x", at=datetime(2026, 11, 22, 10, tzinfo=UTC))


async def sequences(pool: Pool, key: str) -> list[int]:
    rows = await pool.fetch("SELECT sequence FROM outbox WHERE partition_key = $1 ORDER BY position", key)
    return [row["sequence"] for row in rows]


async def test_an_event_is_stored_as_the_model_serializes_it(pool: Pool) -> None:
    data = erased()
    event_id = await outbox.append(pool, "user.erased", data, subject=data.user_id)
    row = await pool.fetchrow("SELECT * FROM outbox WHERE id = $1", event_id)
    assert row is not None
    assert row["data"] == orjson.loads(data.model_dump_json())
    assert (row["subject"], row["partition_key"], row["sequence"]) == (str(data.user_id), str(data.user_id), 1)
    assert row["sent_at"] is None


async def test_data_of_another_event_is_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match=r"UserErased is not the data of user\.updated"):
        await outbox.append(pool, "user.updated", erased(), subject=new_id())


async def test_a_transaction_that_rolls_back_leaves_no_event_and_no_gap(pool: Pool) -> None:
    async def roll_back() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await outbox.append(connection, "user.erased", erased(), subject="k")
            raise LookupError

    await outbox.append(pool, "user.erased", erased(), subject="k")
    with pytest.raises(LookupError):
        await roll_back()
    await outbox.append(pool, "user.erased", erased(), subject="k")
    assert await sequences(pool, "k") == [1, 2]


async def test_concurrent_writers_of_a_key_number_without_gaps_in_the_order_of_their_positions(pool: Pool) -> None:
    async def write(number: int) -> None:
        for _ in range(10):
            async with pool.acquire() as connection, connection.transaction():
                await outbox.append(connection, "user.erased", erased(), subject=f"k{number % 3}")

    async with asyncio.timeout(30):
        await asyncio.gather(*(write(number) for number in range(30)))
    for key in ("k0", "k1", "k2"):
        assert await sequences(pool, key) == list(range(1, 101))


async def test_writers_of_different_keys_do_not_wait_for_each_other(pool: Pool) -> None:
    async with asyncio.timeout(30), pool.acquire() as slow, slow.transaction():
        await outbox.append(slow, "user.erased", erased(), subject="slow")
        await outbox.append(pool, "user.erased", erased(), subject="quick")
    assert await sequences(pool, "quick") == [1]
