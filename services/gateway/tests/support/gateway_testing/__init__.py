"""Test support of the gateway: a running gateway, its processes, and fakes."""
