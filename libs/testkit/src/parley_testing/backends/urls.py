"""Addresses of the backends of a stack."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackendUrls:
    """The backends of a stack of separate processes."""

    database_admin_url: str
    redis_url: str
    amqp_url: str
