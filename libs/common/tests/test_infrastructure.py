"""Infrastructure of a service, as far as it needs no server."""

import pytest

from parley.config.settings import DataSettings, SettingsError, load
from parley.infrastructure import open_bus
from parley.observability.metrics import Metrics


def test_a_service_of_its_own_process_requires_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/chat")
    monkeypatch.setenv("REDIS_URL", "redis://r")
    monkeypatch.delenv("AMQP_URL", raising=False)
    with pytest.raises(SettingsError, match="AMQP_URL: is required"):
        open_bus(load(DataSettings), "chat", Metrics("chat", "1", "-"))
