"""Hosts that vanish: the tests of ``lost_hosts.py``, in a network namespace of their own."""

import asyncio
import sys
from pathlib import Path

import pytest

from parley_testing.backends.shared import SharedBackends
from parley_testing.faults.lost_host import laboratory

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

TESTS = Path(__file__).with_name("lost_hosts.py")


async def test_the_product_survives_each_host_that_vanishes(backends: SharedBackends) -> None:
    command = laboratory([sys.executable, "-m", "pytest", "-m", "", "-p", "no:cacheprovider", "-s", str(TESTS)])
    if command is None:
        pytest.skip("this system permits neither network namespaces nor user namespaces, or has no `ip`")
    await backends.rabbitmq_root()  # in the namespace, nothing can be downloaded
    process = await asyncio.create_subprocess_exec(*command)
    try:
        assert await process.wait() == 0, "see the output of the tests above"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
