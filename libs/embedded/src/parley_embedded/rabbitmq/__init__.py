"""RabbitMQ: server and its files."""
