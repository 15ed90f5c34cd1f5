"""Periodic work in batches."""

import pytest

from gateway.spread_work import BATCH_SIZE, spread_over


@pytest.mark.parametrize("count", [0, 1, BATCH_SIZE, BATCH_SIZE * 2 + 1])
async def test_every_item_is_in_one_batch_of_limited_size(count: int) -> None:
    batches = [list(batch) async for batch in spread_over(0.0, range(count))]
    assert [item for batch in batches for item in batch] == list(range(count))
    assert all(0 < len(batch) <= BATCH_SIZE for batch in batches)
