"""CORS: allowed origins."""

import pytest

from gateway.access.cors import Cors
from gateway.settings import GatewaySettings
from parley.config.settings import load


def settings(**overrides: object) -> GatewaySettings:
    return load(GatewaySettings, redis_url="redis://localhost/0", **overrides)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:3000", True),
        (b"http://localhost", True),
        (b"http://localhost:3000.evil.example", False),
        (b"http://localhost.evil.example:3000", False),
        (b"https://chat.example.org", True),
        (b"https://chat.example.org.evil", False),
        (b"null", False),
    ],
)
def test_origins_are_compared_completely(origin: bytes, allowed: bool) -> None:
    assert Cors(["http://localhost:*", "https://chat.example.org"]).allows(origin) is allowed


def test_only_development_allows_origins_by_default() -> None:
    assert settings().origins() == []
    assert settings(environment="development").origins() == ["http://localhost:*", "http://127.0.0.1:*"]
