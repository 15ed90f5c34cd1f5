"""Scopes of a token that manages webhooks."""

SCOPE_OWN = "webhooks"
"""Webhooks for one's own events."""
SCOPE_ALL = "admin"
"""Webhooks for the events of all users."""
