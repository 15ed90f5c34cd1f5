"""The compose file, running: what containers reach, and what their users of the broker may do."""

import pytest

from parley_testing.deployment.compose import ComposeProject
from parley_testing.deployment.docker import docker

pytestmark = pytest.mark.chaos

PROBE = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("open")
except OSError as error:
    print("closed")
"""
BROKER = """
import asyncio, sys, aio_pika, aiormq
from pathlib import Path
async def main():
    url = Path("/run/secrets/amqp_url").read_text().strip()
    async with await aio_pika.connect(url) as connection:
        async def tried(name, use):
            channel = await connection.channel()
            try:
                await use(channel)
                print(name, "allowed")
            except aiormq.exceptions.ChannelAccessRefused:
                print(name, "refused")
        other = "auth.erasures" if "parley-auth" not in url else "history.turns"
        await tried("read-other", lambda c: get(c, other))
        await tried("read-log", lambda c: get(c, "parley.log"))
        await tried("purge-other", lambda c: purge(c, other))
        await tried("declare-other", lambda c: c.declare_queue("billing.x"))
        await tried("write-other", lambda c: bind(c, other))
        await tried("own-queue", lambda c: c.declare_queue(sys.argv[1] + ".probe", auto_delete=True, exclusive=True))
async def get(channel, name):
    queue = await channel.get_queue(name, ensure=False)
    await queue.get(fail=False, no_ack=False)
async def purge(channel, name):
    await (await channel.get_queue(name, ensure=False)).purge()
async def bind(channel, name):
    await (await channel.get_queue(name, ensure=False)).bind("parley.events", "#")
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("service", "store", "port", "network", "reached"),
    [
        ("gateway", "redis", 6379, "inside", "open"),
        ("gateway", "chat", 8002, "inside", "open"),
        ("gateway", "postgres", 5432, "databases", "closed"),
        ("gateway", "rabbitmq", 5672, "broker", "closed"),
        ("chat", "postgres", 5432, "databases", "open"),
        ("chat", "rabbitmq", 5672, "broker", "open"),
        ("fake-provider", "postgres", 5432, "databases", "closed"),
        ("fake-provider", "rabbitmq", 5672, "broker", "closed"),
    ],
)
def test_a_container_reaches_what_it_needs_and_nothing_else(
    service: str, store: str, port: int, network: str, reached: str, project: ComposeProject
) -> None:
    for address in (store, project.address(store, network)):
        assert project.inside(service, "python", "-c", PROBE, address, str(port)).strip() == reached


def test_a_subscriber_in_its_network_reaches_the_broker_only(project: ComposeProject) -> None:
    network, image = f"{project.name}_subscribers", "parley/chat:compose-test"
    for store, port, reached in (("rabbitmq", 5672, "open"), ("postgres", 5432, "closed"), ("chat", 8002, "closed")):
        options = ("--rm", "--entrypoint=python", f"--network={network}")
        assert docker("run", *options, image, "-c", PROBE, store, str(port)).strip() == reached


@pytest.mark.parametrize("service", ["auth", "chat", "history", "webhooks"])
def test_a_service_has_a_broker_user_that_cannot_touch_what_belongs_to_others(
    service: str, project: ComposeProject
) -> None:
    found = dict(line.split() for line in project.inside(service, "python", "-c", BROKER, service).splitlines())

    assert found.pop("own-queue") == "allowed"
    assert set(found.values()) == {"refused"}, found


def test_there_is_no_broker_user_besides_those_of_the_services(project: ComposeProject) -> None:
    listed = project.inside("rabbitmq", "rabbitmqctl", "--quiet", "--no-table-headers", "list_users")
    assert sorted(line.split()[0] for line in listed.splitlines()) == [
        "parley-auth", "parley-chat", "parley-history", "parley-operator", "parley-webhooks",
    ]  # fmt: skip
