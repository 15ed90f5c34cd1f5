"""Metrics, and a private RabbitMQ broker."""

import pytest

from parley.observability.metrics import Metrics
from parley_testing.backends.rabbitmq_fixtures import broker, open_bus, own_bus, queue

__all__ = ["broker", "open_bus", "own_bus", "queue"]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("test", "0", "unknown")
