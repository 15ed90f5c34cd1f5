"""Fixtures of the gateway's tests."""

from collections.abc import AsyncIterator

import pytest

from gateway_testing.process import RunGatewayProcess, process_runner
from gateway_testing.running import RunGateway, RunningGateway, gateway_runner
from parley_testing.backends.shared_servers import SharedBackends


@pytest.fixture
async def run_gateway(backends: SharedBackends) -> RunGateway:
    """Run gateways in this process with other settings or routes."""
    return gateway_runner(await backends.redis_url())


@pytest.fixture
async def gateway(run_gateway: RunGateway) -> AsyncIterator[RunningGateway]:
    """A gateway in this process, with default settings."""
    async with run_gateway() as running:
        yield running


@pytest.fixture
async def run_process(backends: SharedBackends) -> RunGatewayProcess:
    """Run gateways as their own processes."""
    return process_runner(await backends.redis_url())
