"""Nodes that are drained, and that vanish, under traffic."""

import asyncio
import os
import shlex
import time

import pytest

from parley_testing import eventually
from parley_testing.deployment.cluster import Cluster, Nodes, is_ready, run_command
from parley_testing.deployment.cluster_traffic import ClusterTraffic
from parley_testing.deployment.manifests import Object

pytestmark = pytest.mark.chaos

CUT, HEAL = os.environ.get("CLUSTER_NODE_CUT", ""), os.environ.get("CLUSTER_NODE_HEAL", "")
"""Commands that make the lost node vanish, and bring it back."""
NOTICED_TIMEOUT = 300.0
"""Seconds in which the cluster notices that a node is gone: 40 to 50 on an idle machine."""
AFTER = float(os.environ.get("CLUSTER_NODE_SECONDS", "20"))
"""Seconds of traffic after the cluster noticed."""
SETTLE_SECONDS = 10.0
"""Seconds of traffic before the cut, and seconds after it in which requests may still go to pods of the lost node."""

RESTARTS = 3
"""Restarts after which the pods are on both nodes, unless a node has too little room."""


async def test_a_drained_node_fails_no_request_and_loses_no_token(
    replicated: Cluster, traffic: ClusterTraffic, nodes: Nodes
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


async def test_a_vanished_node_cuts_no_stream_of_another_gateway(
    replicated: Cluster, traffic: ClusterTraffic, nodes: Nodes
) -> None:
    if not (CUT and HEAL):
        pytest.skip("CLUSTER_NODE_CUT and CLUSTER_NODE_HEAL name no commands")
    spread_over(nodes, replicated)
    gone = [name for name in replicated.replicas() for pod in replicated.pods(name) if is_on(pod, nodes.lost)]
    (gateway,) = [pod for pod in replicated.pods("gateway") if is_on(pod, nodes.kept)]
    traffic.url = f"http://{gateway['status']['podIP']}:8000"
    async with traffic.running():
        await asyncio.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        cut_at = traffic.seconds()
        await asyncio.to_thread(run_command, shlex.split(CUT))
        try:
            await eventually(lambda: not is_node_ready(replicated, nodes.lost), within=NOTICED_TIMEOUT)
            noticed = time.monotonic() - began
            await asyncio.sleep(AFTER)
        finally:
            await asyncio.to_thread(run_command, shlex.split(HEAL))
        await eventually(lambda: is_node_ready(replicated, nodes.lost), within=NOTICED_TIMEOUT)
    await asyncio.to_thread(replicated.rolled_out)
    late = [each for each in traffic.report["failed"] if each[0] > cut_at + SETTLE_SECONDS]
    answered = sorted(seconds for sent, seconds in traffic.report["seconds"] if sent > cut_at + SETTLE_SECONDS)
    print(
        f"\nvanished node, noticed after {noticed:.0f} s, with {', '.join(gone)}: {traffic.summary()}\n"
        f"  p99 of those sent {SETTLE_SECONDS:.0f} s after the cut: {answered[int(len(answered) * 0.99)]:.2f} s"
    )
    assert "chat" in gone
    assert (traffic.report["wrong"], traffic.report["resumed"], late) == ([], 0, [])


def spread_over(nodes: Nodes, cluster: Cluster) -> None:
    """Restart the deployments until each has pods on both nodes: a drained node has none, and the other may be full."""
    for _ in range(RESTARTS):
        cluster.kubectl("rollout", "restart", "deployment")
        cluster.rolled_out()
        places = {name: {pod["spec"]["nodeName"] for pod in cluster.pods(name)} for name in cluster.replicas()}
        if all(place == {nodes.kept, nodes.lost} for place in places.values()):
            return
    pytest.fail(f"the pods are not on both nodes: {places}")


def is_on(pod: Object, node: str) -> bool:
    """Return whether a pod is on the node."""
    return bool(pod["spec"]["nodeName"] == node)


def is_node_ready(cluster: Cluster, name: str) -> bool:
    """Return whether the cluster believes that a node is there."""
    return any(is_ready(each) for each in cluster.get("nodes") if each["metadata"]["name"] == name)
