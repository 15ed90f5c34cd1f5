"""A private RabbitMQ broker for the tests of this folder."""

from parley_testing.backends.rabbitmq_fixtures import broker, open_bus, own_bus, queue, take_all

__all__ = ["broker", "open_bus", "own_bus", "queue", "take_all"]
