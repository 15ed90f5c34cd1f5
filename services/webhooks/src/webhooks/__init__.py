"""Webhooks: events sent to endpoints of users and administrators as signed HTTP requests."""
