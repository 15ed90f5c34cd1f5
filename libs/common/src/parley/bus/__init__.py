"""The event bus: one port, an in-process adapter and a RabbitMQ adapter held to one contract suite."""
