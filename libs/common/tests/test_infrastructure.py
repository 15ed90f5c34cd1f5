"""Infrastructure of a service."""

import asyncio
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from parley.config.settings import DataSettings, SettingsError, load
from parley.infrastructure import open_bus, open_infrastructure
from parley.messaging.memory_bus import MemoryBus
from parley.observability.metrics import Metrics
from parley.web.service import make_runtime, run_service
from parley_testing import eventually
from parley_testing.faults.tcp_proxy import TcpProxy, Toxics

SERVICE = "service_without_tables"


def test_a_service_of_its_own_process_requires_a_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/chat")
    monkeypatch.setenv("REDIS_URL", "redis://r")
    monkeypatch.delenv("AMQP_URL", raising=False)
    with pytest.raises(SettingsError, match="AMQP_URL: is required"):
        open_bus(load(DataSettings), "chat", Metrics("chat", "1", "-"))


def test_an_address_that_is_none_of_rabbitmq_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/chat")
    monkeypatch.setenv("REDIS_URL", "redis://r")
    monkeypatch.setenv("AMQP_URL", "http://parley:secret@broker/")
    with pytest.raises(SettingsError, match="AMQP_URL: The URL of RabbitMQ is invalid") as refused:
        open_bus(load(DataSettings), "chat", Metrics("chat", "1", "-"))
    assert "secret" not in str(refused.value)


@pytest.mark.integration
async def test_a_service_that_starts_without_its_database_is_ready_when_the_database_is_there(
    dsn: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / SERVICE / "migrations").mkdir(parents=True)
    (tmp_path / SERVICE / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    parts = urlsplit(dsn)
    options = dict(parse_qsl(parts.query))
    target = f"{options['host']}/.s.PGSQL.{options['port']}" if "host" in options else str(parts.hostname)
    async with TcpProxy(target, parts.port or 5432) as proxy:
        user = parts.netloc.rpartition("@")[0]
        monkeypatch.setenv("DATABASE_URL", f"postgresql://{user}@127.0.0.1:{proxy.port}{parts.path}")
        monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1")
        settings = load(DataSettings, admin_port=0)
        runtime = make_runtime(settings, service=SERVICE, version="1")
        stop = asyncio.Event()

        async def run() -> None:
            async with run_service(
                runtime, settings, lambda *_: open_infrastructure(settings, runtime, bus=MemoryBus([]))
            ):
                await stop.wait()

        async with proxy.with_toxics(Toxics(refuse=True)):
            running = asyncio.create_task(run())
            await eventually(lambda: runtime.lifecycle.waiting_for)
            assert not runtime.lifecycle.readiness()[0]
            assert runtime.lifecycle.alive()
        await eventually(lambda: runtime.lifecycle.readiness()[0])
        stop.set()
        await running
