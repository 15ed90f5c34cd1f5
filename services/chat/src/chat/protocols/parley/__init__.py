"""Parley's own JSON and event-stream format."""
