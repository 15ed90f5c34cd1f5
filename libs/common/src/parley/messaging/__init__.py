"""Messaging: event buses, and the transactional outbox with its relay."""
