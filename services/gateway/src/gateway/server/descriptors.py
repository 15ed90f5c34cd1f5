"""Shares of the limit on open files: client connections leave descriptors for everything else in the process."""

import structlog

from gateway.settings import GatewaySettings
from parley.config.settings import SettingsError

log = structlog.get_logger()

RESERVED_SHARE, MIN_RESERVED = 16, 64
"""One descriptor in 16, and at least 64, is reserved: for Redis, databases, logs, the admin port and accepted
connections that are not refused yet."""
UPSTREAM_SHARE, UPSTREAM_SERVICES = 32, 3


def fit_descriptors(settings: GatewaySettings, limit: int, *, sockets_per_upstream: int = 1) -> GatewaySettings:
    """Return settings that need at most ``limit`` descriptors. Raise SettingsError if explicit ones need more.

    Defaults are lowered. ``sockets_per_upstream`` is 2 where the services share the process: both ends count.
    """
    upstream, connections, streams = settings.upstream_connections, settings.max_connections, settings.max_streams
    explicit = settings.model_fields_set
    if "upstream_connections" not in explicit:
        upstream = max(1, min(upstream, limit // UPSTREAM_SHARE))
    reserved = max(MIN_RESERVED, limit // RESERVED_SHARE) + upstream * UPSTREAM_SERVICES * sockets_per_upstream
    free = limit - reserved
    if "max_connections" not in explicit:
        connections = max(1, min(connections, free * 2 // 3))
    if "max_streams" not in explicit:
        streams = max(1, min(streams, (free - connections) // sockets_per_upstream))
    needed = connections + streams * sockets_per_upstream
    if needed > free:
        raise SettingsError(
            f"MAX_CONNECTIONS: {connections} connections, {streams} streams and {reserved} other descriptors exceed "
            f"the limit of {limit} open files. Lower MAX_CONNECTIONS or MAX_STREAMS, or raise the limit (ulimit -Hn)."
        )
    if connections < settings.max_connections:
        log.warning("connections_limited_by_open_files", limit=limit, max_connections=connections, max_streams=streams)
    return settings.model_copy(
        update={"upstream_connections": upstream, "max_connections": connections, "max_streams": streams}
    )
