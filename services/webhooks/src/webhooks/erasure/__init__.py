"""Webhooks of users who were erased or lost their access."""
