"""Fixtures of the unit tests of chat. A module that needs another service has a `bench` of its own."""

import pytest

from chat_testing.generator import answer_of
from chat_testing.service_bench import ServiceBench


@pytest.fixture
def bench() -> ServiceBench:
    """A service whose model answers "Hello" in two chunks."""
    found = ServiceBench()
    found.engine.generator.chunks = answer_of("Hel", "lo")
    return found
