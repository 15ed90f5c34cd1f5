"""Adapters of Postgres, Redis and the history service. Only wiring imports this package."""
