"""Outage errors of the services' own dependencies."""

from parley.errors import DependencyUnavailable
from parley.storage import postgres, redis
from parley_events.failure_policy import FailurePolicy

SERVICE_FAILURE_POLICY = FailurePolicy(
    outages=(DependencyUnavailable, *postgres.POSTGRES_UNAVAILABLE, *redis.REDIS_UNAVAILABLE)
)
