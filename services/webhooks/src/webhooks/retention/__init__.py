"""Purge of old events and their deliveries."""
