"""Test doubles and a running app of the webhook service."""
