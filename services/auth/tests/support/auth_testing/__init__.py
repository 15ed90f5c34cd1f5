"""Test support of auth: a running app, replica processes, and in-memory stores."""
