"""Webhooks: events sent to endpoints of users and administrators as signed HTTP requests."""

VERSION = "0.1.0"
