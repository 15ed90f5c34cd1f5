"""Addresses of the servers behind a stack."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackendUrls:
    """The servers behind a stack of separate processes."""

    database_admin_url: str
    redis_url: str
    amqp_url: str
