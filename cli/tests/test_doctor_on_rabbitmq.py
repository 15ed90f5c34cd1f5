"""`parley doctor` on RabbitMQ: each node of a cluster is checked, whichever is lost."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any, Self

import pytest
from aiormq.exceptions import AuthenticationError

from parley.messaging.bus import SERVICE_QUEUES
from parley_cli.diagnosis import rabbitmq_checks
from parley_cli.diagnosis.checks import check_system
from parley_cli.diagnosis.findings import Finding, as_document, exit_status
from parley_cli.diagnosis.rabbitmq_checks import numbered_nodes
from parley_cli.diagnosis.system import System
from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ
from parley_testing.backends.rabbitmq_fixtures import broker
from parley_testing.stacks.commands import free_ports
from parley_testing.virtual_time import virtual_time

__all__ = ["broker"]

PASSWORD = "canary-8f2d"
NODES = [f"amqp://u:{PASSWORD}@{name}.example/" for name in ("one", "two", "three")]
FROZEN = "frozen"
ONE, TWO, THREE = (f"rabbitmq node {number}" for number in (1, 2, 3))


class Broker:
    """A connection to a node with Parley's queues."""

    transport, is_closed = None, False

    def __init__(self) -> None:
        self.default_exchange, self.declaration_result = self, SimpleNamespace(message_count=0, consumer_count=1)

    async def channel(self, **_options: Any) -> Self:
        return self

    async def declare_queue(self, _name: str, *, passive: bool) -> Self:
        return self

    async def publish(self, *_arguments: Any, **_options: Any) -> None:
        pass

    async def close(self) -> None:
        pass


async def diagnose(lost: dict[str, Exception | str]) -> list[Finding]:
    """Check a cluster of which the nodes ``lost`` do not answer."""

    async def connect(url: str, _name: str, _timeout: float) -> Broker:
        failure = next((each for node, each in lost.items() if f"@{node}." in url), None)
        if failure == FROZEN:
            await asyncio.sleep(3600)
        if isinstance(failure, Exception):
            raise failure
        return Broker()

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(rabbitmq_checks, "connect", connect)
        found, _ = await check_system(System(folders={}, rabbitmq={",".join(NODES)}, admin={"x": "y"}), 5)
    return [each for each in found if each.target.startswith("rabbitmq")]


def servers(found: list[Finding]) -> dict[str, str]:
    return {each.target: each.code for each in found if each.check == "server"}


@pytest.mark.parametrize("failure", [ConnectionRefusedError(), AuthenticationError("ACCESS_REFUSED"), FROZEN])
@pytest.mark.parametrize(("node", "target"), [("one", ONE), ("two", TWO), ("three", THREE)])
@virtual_time
async def test_a_node_that_is_lost_while_another_serves_is_a_warning_that_names_it(
    node: str, target: str, failure: Exception | str
) -> None:
    found = await diagnose({node: failure})
    assert servers(found) == dict.fromkeys((ONE, TWO, THREE), "ok") | {target: "rabbitmq_node_lost"}
    assert [each.target for each in found if each.status != "ok"] == [target]
    assert exit_status(found) == 0
    printed = json.dumps(as_document(found, took_ms=1)) + "".join(each.as_line() for each in found)
    assert PASSWORD not in printed
    assert ".example" not in printed


@virtual_time
async def test_the_queues_of_a_cluster_are_listed_once() -> None:
    found = await diagnose({"one": ConnectionRefusedError()})
    checks = [each.check for each in found if each.target == "rabbitmq"]
    assert len(checks) == len(set(checks)) == len(SERVICE_QUEUES) + 1


@virtual_time
async def test_a_cluster_without_a_node_is_a_fault_of_each() -> None:
    found = await diagnose({"one": ConnectionRefusedError(), "two": FROZEN, "three": AuthenticationError("no")})
    assert servers(found) == {ONE: "rabbitmq_unreachable", TWO: "rabbitmq_unreachable", THREE: "rabbitmq_refused"}
    assert exit_status(found) == 1


def test_one_node_has_the_name_of_the_broker_and_a_comma_in_its_password_is_none_between_nodes() -> None:
    url = "amqp://u:a,b@one/"
    assert numbered_nodes("rabbitmq", url) == [("rabbitmq", url)]
    assert numbered_nodes("rabbitmq 2", f"{url}, {url}") == [("rabbitmq 2 node 1", url), ("rabbitmq 2 node 2", url)]
    assert numbered_nodes("rabbitmq", "http://one/") == [("rabbitmq", "http://one/")]


@pytest.mark.integration
@pytest.mark.parametrize("place", [0, 1])
async def test_a_real_node_serves_beside_one_that_is_lost(broker: EmbeddedRabbitMQ, place: int) -> None:
    urls = [broker.url]
    urls.insert(place, f"amqp://u:{PASSWORD}@127.0.0.1:{free_ports()}/")
    found, _ = await check_system(System(folders={}, rabbitmq={",".join(urls)}, admin={"x": "y"}), 30)
    names = [ONE, TWO]
    assert servers([each for each in found if each.target in names]) == {
        names[place]: "rabbitmq_node_lost",
        names[1 - place]: "ok",
    }
