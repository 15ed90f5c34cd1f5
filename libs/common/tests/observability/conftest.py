"""A collector of spans."""

from collections.abc import AsyncIterator

import pytest

from parley_testing.telemetry.span_collector import SpanCollector, run_collector


@pytest.fixture
async def spans() -> AsyncIterator[SpanCollector]:
    async with run_collector() as running:
        yield running
