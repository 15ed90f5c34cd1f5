"""RabbitMQ cluster of three nodes on this machine."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.rabbitmq.server import EmbeddedRabbitMQ

MEMORY_LIMIT = "200MB"
_LEADER = re.compile(r"^(\S+)\t(\S+@\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RabbitCluster:
    """The nodes of a cluster; the first one runs the name server of all."""

    nodes: tuple[EmbeddedRabbitMQ, ...]

    @property
    def url(self) -> str:
        """The URLs of all nodes, as the product takes them."""
        return ",".join(node.url for node in self.nodes)

    async def leader(self, queue: str) -> EmbeddedRabbitMQ:
        """Return the node that leads a quorum queue."""
        running = next(node for node in self.nodes if node.running)
        leaders = dict(_LEADER.findall(await running.ctl("list_queues", "--quiet", "name", "leader")))
        return next(node for node in self.nodes if node.node == leaders[queue])


@contextlib.asynccontextmanager
async def open_cluster(root: Path, folder: Path) -> AsyncIterator[RabbitCluster]:
    """Run three nodes from the files in ``root``, joined to a cluster."""
    first = EmbeddedRabbitMQ(root, folder / "rabbitmq-1", node="one", memory_limit=MEMORY_LIMIT)
    others = [
        EmbeddedRabbitMQ(root, folder / f"rabbitmq-{number}", node=node, memory_limit=MEMORY_LIMIT, first=first)
        for number, node in enumerate(("two", "three"), 2)
    ]
    async with contextlib.AsyncExitStack() as opened:
        await opened.enter_async_context(first)
        for node in others:
            opened.push_async_callback(node.stop)
        await asyncio.gather(*(node.start() for node in others))
        members = await first.ctl("cluster_status", "--formatter", "json")
        assert all(node.node in members for node in others), members
        yield RabbitCluster((first, *others))
