"""The Node.js recipe of docs/events.md: with amqplib, and with a stand-in that loses connections and queues."""

import asyncio
import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from aio_pika import connect
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from parley.ids import new_id
from parley.messaging.rabbit_bus import open_rabbit
from parley.observability.metrics import Metrics
from parley_events import TurnEnded
from parley_events.testing import sample
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.waiting import eventually

PAGE = Path(__file__).parents[2] / "docs/events.md"

AMQPLIB = """
import { EventEmitter } from "node:events";
let connections = 0, acknowledged = [];
const message = (n) => ({ n, content: JSON.stringify({ n }), properties: { headers: {
  "ce-id": `e${n}`, "ce-type": "io.parley.conversation.turn.completed.v1" } } });
const waiting = () => [1, 2, 3, 4, 5, 6].filter((n) => !acknowledged.includes(n));

class Connection extends EventEmitter {
  async createChannel() {
    const connection = this, channel = new EventEmitter();
    return Object.assign(channel, {
      assertQueue: async (_, { arguments: given }) => {
        if (!given["x-single-active-consumer"]) throw new Error("no order over processes");
      },
      bindQueue: async () => {},
      prefetch: async () => {},
      ack: ({ n }) => {
        if (connection.isClosed) throw new Error("Channel closed");
        acknowledged.push(n);
        if (acknowledged.length === 2 && connection.number === 1) connection.lose();
        if (acknowledged.length === 4 && connection.number === 3) connection.deliver(null);
        if (acknowledged.length === 6) {
          console.log(JSON.stringify({ stored: globalThis.stored, acknowledged, connections }));
          process.exit(0);
        }
      },
      consume: async (_, deliver) => {
        connection.deliver = deliver;
        for (const n of waiting()) deliver(message(n));
      },
    });
  }
  lose() { this.isClosed = true; this.emit("close"); }
  async close() { if (this.isClosed) throw new Error("closed already"); this.lose(); }
}

export default {
  connect: async () => {
    connections += 1;
    if (connections === 2) throw new Error("ECONNREFUSED");
    return Object.assign(new Connection(), { number: connections });
  },
};
"""
PRELOAD = """
const wait = globalThis.setTimeout;
globalThis.setTimeout = (call, ms) => wait(call, ms / 100);
globalThis.stored = [];
let running = 0, failures = 3;
globalThis.storeOnce = async (id) => {
  running += 1;
  if (running > 1) console.log("two events at once");
  await new Promise((resolve) => wait(resolve, 7 - Number(id.slice(1))));
  running -= 1;
  if (id === "e3" && failures-- > 0) throw new Error("the database is away");
  if (!globalThis.stored.includes(id)) globalThis.stored.push(id);
};
"""


def recipe() -> str:
    """Return the program of the page."""
    (found,) = re.findall(r"```js\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)


def test_the_recipe_keeps_the_order_and_survives_a_failing_store_a_lost_broker_and_a_deleted_queue(
    tmp_path: Path, node: str
) -> None:
    package = tmp_path / "node_modules/amqplib"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "amqplib", "type": "module", "main": "index.js"}')
    (package / "index.js").write_text(AMQPLIB)
    (tmp_path / "preload.mjs").write_text(PRELOAD)
    (tmp_path / "recipe.mjs").write_text(recipe())
    command = [node, "--import", "./preload.mjs", "recipe.mjs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["stored"] == ["e1", "e2", "e3", "e4", "e5", "e6"]
    assert found["acknowledged"] == [1, 2, 3, 4, 5, 6]
    assert found["connections"] == 4


STORE = "globalThis.storeOnce = async (id) => { await undefined; console.log(id); };"


@pytest.mark.e2e
async def test_the_recipe_runs_with_amqplib_and_declares_a_deleted_queue_again(
    tmp_path: Path, node: str, packages: Path, backends: SharedBackends
) -> None:
    url, queue = await backends.fresh_amqp_url(), f"sub.test.{new_id()}"
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    (tmp_path / "preload.mjs").write_text(STORE)
    (tmp_path / "recipe.mjs").write_text(recipe().replace("sub.analytics.turns", queue))
    async with (
        open_rabbit(url, service="test", queue_type="classic", metrics=Metrics("test", "0", "-")) as bus,
        asyncio.timeout(60),
        await connect(url, timeout=10) as connection,
    ):
        process = await asyncio.create_subprocess_exec(
            *(node, "--import", "./preload.mjs", "recipe.mjs"),
            cwd=tmp_path,
            env={**os.environ, "AMQP_URL": url},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            channel = await connection.channel()
            for _ in range(2):
                await consumed(connection, queue)
                events = [sample(TurnEnded, key=queue) for _ in range(10)]
                for event in events:
                    await bus.publish(event)
                stored = [(await process.stdout.readline()).decode().strip() for _ in events]
                assert stored == [str(event.id) for event in events]
                await channel.queue_delete(queue)
        finally:
            process.kill()
            await process.wait()
            await channel.queue_delete(queue)


async def consumed(connection: AbstractConnection, queue: str) -> None:
    """Wait until a queue exists and has a consumer."""

    async def has_consumer() -> bool:
        channel = await connection.channel()
        try:
            found = await channel.declare_queue(queue, passive=True)
        except ChannelNotFoundEntity:
            return False
        await channel.close()
        return bool(found.declaration_result.consumer_count)

    await eventually(has_consumer, within=30)
