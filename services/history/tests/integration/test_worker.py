"""The consumer process, over RabbitMQ."""

from pathlib import Path

import asyncpg
import pytest

from history_testing.app import NewDatabase
from history_testing.turn_events import SampleTurn
from parley.messaging.rabbit_bus import open_rabbit
from parley.observability.metrics import Metrics
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.contracts.bus import publish_until_confirmed
from parley_testing.stacks.service_process import ServiceProcess

pytestmark = pytest.mark.integration


async def test_the_worker_stores_events_and_exits_with_status_0(
    backends: SharedBackends, new_database: NewDatabase, tmp_path: Path
) -> None:
    amqp, dsn = await backends.fresh_amqp_url(), await new_database()
    urls = {"HISTORY_DATABASE_URL": dsn, "REDIS_URL": await backends.redis_url(), "AMQP_URL": amqp}
    worker = ServiceProcess("history-worker", "parley-history-worker", tmp_path, {**urls, "RUN_CONSUMER": "false"})
    await worker.start()
    one = SampleTurn()
    async with open_rabbit(amqp, service="test", queue_type="classic", metrics=Metrics("test", "0", "0")) as bus:
        for event in (one.started(), one.ended()):
            await publish_until_confirmed(bus, event)
    connection = await asyncpg.connect(dsn)
    try:
        query = "SELECT content FROM messages WHERE id = $1 AND status = 'completed'"
        await eventually(lambda: connection.fetchval(query, one.turn_id), within=20)
    finally:
        await connection.close()
    await worker.stop()
    assert worker.child.exit_status == 0
