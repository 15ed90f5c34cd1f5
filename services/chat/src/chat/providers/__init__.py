"""Clients of OpenAI-compatible model servers. Only wiring imports this package."""
