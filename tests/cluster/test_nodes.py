"""Nodes that are drained, and that vanish, under traffic."""

import asyncio
import os
import shlex
import time

import pytest

from parley_testing import eventually
from parley_testing.deployment.cluster import Cluster, Nodes, is_ready, run_command
from parley_testing.deployment.cluster_traffic import Traffic

pytestmark = pytest.mark.chaos

CUT, HEAL = os.environ.get("CLUSTER_NODE_CUT", ""), os.environ.get("CLUSTER_NODE_HEAL", "")
"""Commands that make the lost node vanish, and bring it back."""
NOTICED_TIMEOUT = 300.0
"""Seconds in which the cluster notices that a node is gone: 40 to 50 on an idle machine."""
AFTER = 20.0
"""Seconds of traffic after the cluster noticed."""


async def test_a_drained_node_fails_no_request_and_loses_no_token(
    replicated: Cluster, traffic: Traffic, nodes: Nodes
) -> None:
    if nodes.kept == nodes.lost:
        pytest.skip("the cluster has one node")
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=900s")
    try:
        async with traffic.running():
            await asyncio.to_thread(replicated.kubectl, "drain", nodes.lost, *options)
    finally:
        replicated.kubectl("uncordon", nodes.lost)
    print(f"\ndrained node: {traffic.summary()}")
    assert (traffic.report["failed"], traffic.report["wrong"], traffic.report["incomplete"]) == ([], [], 0)


async def test_a_vanished_node_loses_nothing_that_was_shown(
    replicated: Cluster, traffic: Traffic, nodes: Nodes
) -> None:
    if not (CUT and HEAL):
        pytest.skip("CLUSTER_NODE_CUT and CLUSTER_NODE_HEAL name no commands")
    replicated.kubectl("rollout", "restart", "deployment")  # the drained node has no pods
    replicated.rolled_out()
    gone = [
        pod for name in ("gateway", "chat") for pod in replicated.pods(name) if pod["spec"]["nodeName"] == nodes.lost
    ]
    async with traffic.running():
        began = time.monotonic()
        await asyncio.to_thread(run_command, shlex.split(CUT))
        try:
            await eventually(lambda: not is_node_ready(replicated, nodes.lost), within=NOTICED_TIMEOUT)
            noticed = time.monotonic() - began
            await asyncio.sleep(AFTER)
        finally:
            await asyncio.to_thread(run_command, shlex.split(HEAL))
        await eventually(lambda: is_node_ready(replicated, nodes.lost), within=NOTICED_TIMEOUT)
    await asyncio.to_thread(replicated.rolled_out)
    answered = sorted(seconds for sent, seconds in traffic.report["seconds"] if sent > AFTER)
    print(
        f"\nvanished node, noticed after {noticed:.0f} s, with {len(gone)} pods of gateway and chat: "
        f"{traffic.summary()}\n  p99 of those sent after {AFTER:.0f} s: {answered[int(len(answered) * 0.99)]:.2f} s"
    )
    assert gone
    assert traffic.report["wrong"] == []


def is_node_ready(cluster: Cluster, name: str) -> bool:
    """Return whether the cluster believes that a node is there."""
    return any(is_ready(each) for each in cluster.get("nodes") if each["metadata"]["name"] == name)
