"""Locks by key, and waits for a lock that end."""

import asyncio
import gc

import pytest

from parley.errors import Overloaded
from parley.process.locks import KeyedLocks, held_within


async def test_a_lock_that_is_held_too_long_is_refused_and_those_of_other_keys_are_free() -> None:
    locks = KeyedLocks(asyncio.Lock)
    async with held_within(60, locks.of("ada"), "Busy."):
        with pytest.raises(Overloaded, match=r"Busy\."):
            async with held_within(0.01, locks.of("ada"), "Busy."):
                pass
        async with held_within(60, locks.of("bob"), "Busy."):
            pass
    async with held_within(60, locks.of("ada"), "Busy."):
        pass


async def test_no_lock_stays_for_a_key_that_nobody_uses() -> None:
    locks = KeyedLocks(asyncio.Lock)
    async with held_within(60, locks.of("ada"), "Busy."):
        assert len(locks) == 1
    gc.collect()
    assert len(locks) == 0
