"""Shares of the limit on open files."""

import pytest

from gateway.server.descriptors import fit_descriptors
from gateway.settings import GatewaySettings
from parley.config.settings import SettingsError, load


def fitted(limit: int, *, sockets_per_upstream: int = 1, **overrides: object) -> GatewaySettings:
    settings = load(GatewaySettings, redis_url="redis://localhost/0", **overrides)
    return fit_descriptors(settings, limit, sockets_per_upstream=sockets_per_upstream)


@pytest.mark.parametrize("limit", [512, 1024, 4096, 20_000, 65_536, 1_048_576])
@pytest.mark.parametrize("sockets", [1, 2])
def test_connections_and_streams_leave_descriptors_for_everything_else(limit: int, sockets: int) -> None:
    settings = fitted(limit, sockets_per_upstream=sockets)
    upstream = 3 * settings.upstream_connections + settings.max_streams
    left = limit - settings.max_connections - upstream * sockets
    assert left >= max(64, limit // 16)
    assert settings.max_connections >= limit // 3 or settings.max_connections == 20_000


def test_a_high_limit_changes_no_default() -> None:
    settings = fitted(1_048_576, sockets_per_upstream=2)
    assert (settings.max_connections, settings.max_streams, settings.upstream_connections) == (20_000, 10_000, 512)


def test_explicit_connections_over_the_limit_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"MAX_CONNECTIONS: 5000 connections.*limit of 4096 open files"):
        fitted(4096, max_connections=5000)
    with pytest.raises(SettingsError, match="MAX_CONNECTIONS"):
        fitted(4096, max_connections=3000, max_streams=2000)
    assert fitted(4096, max_connections=3000).max_connections == 3000
