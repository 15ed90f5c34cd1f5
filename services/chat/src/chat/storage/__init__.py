"""Adapters for Postgres, Redis and the history service. Only wiring imports this package."""
