"""The broker users of services: what `deploy/k8s/make-secrets` writes lets each service run, and nothing else."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from aio_pika import connect
from aio_pika.exceptions import AMQPError

from parley.ids import new_id
from parley.messaging.bus import DEAD_LETTERS, BusDown
from parley.messaging.rabbit_bus import RabbitBus, open_rabbit
from parley.observability.metrics import Metrics
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_events.subscription import Subscription
from parley_testing.contracts.bus import make_event
from parley_testing.fakes.recording_handler import RecordingHandler
from parley_testing.waiting import eventually

pytestmark = pytest.mark.integration
SCRIPT = Path(__file__).parents[4] / "deploy/k8s/make-secrets"


async def test_the_user_of_a_service_runs_its_bus_and_reads_neither_the_log_nor_the_queues_of_others(
    own_bus: RabbitBus, broker: EmbeddedRabbitMQ, tmp_path: Path
) -> None:
    environment = {"PATH": os.environ["PATH"]}
    secrets = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    (found,) = re.findall(r"rabbitmq_definitions.json: '(.*)'", secrets)
    (tmp_path / "definitions.json").write_text(found)
    await broker.ctl("import_definitions", str(tmp_path / "definitions.json"))
    password = next(each["password"] for each in json.loads(found)["users"] if each["name"] == "parley-history")
    url = f"amqp://parley-history:{password}@127.0.0.1:{broker.port}/"
    handler, event, queue = RecordingHandler(), make_event("user.updated"), f"history.{new_id()}"
    async with (
        open_rabbit(url, service="history", queue_type="classic", metrics=Metrics("test", "0", "-")) as bus,
        bus.consume(Subscription(queue, ("user.*",), handler)),
    ):
        await eventually(lambda: _is_up(bus))
        await bus.publish(event)
        await eventually(lambda: event in handler.seen)
        assert (await bus.waiting([queue, DEAD_LETTERS])).keys() == {queue, DEAD_LETTERS}
        await bus.bind(queue, "conversation.deleted")
    async with await connect(broker.url, timeout=10) as connection:
        await (await connection.channel()).queue_delete(queue)
    for name in ("parley.log", "chat.users", "sub.team.turns"):
        async with await connect(url, timeout=10) as connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=1)
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await (await channel.get_queue(name, ensure=False)).consume(_ignore)
            if name != "parley.log":  # who declares it may delete it
                channel = await connection.channel()
                with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                    await channel.queue_delete(name)


async def _is_up(bus: RabbitBus) -> bool:
    """Return whether the bus has connected: the broker may refuse a new user for a moment."""
    try:
        await bus.ping()
    except BusDown:
        return False
    return True


async def _ignore(_message: object) -> None:
    """Receive nothing."""
