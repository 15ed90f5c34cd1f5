"""Outages of the services' own dependencies, which use up no attempt at an event."""

from dataclasses import dataclass

from parley.errors import DependencyUnavailable
from parley.storage.postgres_errors import is_transient
from parley.storage.redis import REDIS_UNAVAILABLE
from parley_events.consuming.failure_policy import FailurePolicy


@dataclass(frozen=True, slots=True)
class ServiceFailurePolicy(FailurePolicy):
    """The failure policy of a service with a Postgres database."""

    def uses_attempt(self, error: Exception) -> bool:
        """Return whether the failure says something about the event."""
        return not (isinstance(error, self.outages) or is_transient(error))


SERVICE_FAILURE_POLICY = ServiceFailurePolicy(outages=(DependencyUnavailable, *REDIS_UNAVAILABLE))
