"""Pods that are replaced, and that are killed, under traffic."""

import asyncio
import time

import pytest

from parley_testing import eventually
from parley_testing.deployment.cluster import Cluster, is_ready
from parley_testing.deployment.cluster_traffic import ClusterTraffic

pytestmark = pytest.mark.chaos

READY_TIMEOUT = 600.0
AFTER = 15.0
"""Seconds of traffic after the number of pods has changed."""


async def test_a_rolling_restart_of_everything_fails_no_request_and_loses_no_token(
    replicated: Cluster, traffic: ClusterTraffic
) -> None:
    began = time.monotonic()
    async with traffic.running():
        await asyncio.to_thread(replicated.kubectl, "rollout", "restart", "deployment")
        await asyncio.to_thread(replicated.rolled_out)
        seconds = time.monotonic() - began
    print(f"\nrolling restart of all deployments in {seconds:.0f} s: {traffic.summary()}")
    assert (traffic.report["failed"], traffic.report["wrong"], traffic.report["incomplete"]) == ([], [], 0)
    assert replicated.restarts() == {}


async def test_more_and_fewer_pods_fail_no_request_and_lose_no_token(
    replicated: Cluster, traffic: ClusterTraffic
) -> None:
    async with traffic.running():
        for count in (3, 2):
            await asyncio.to_thread(replicated.scale, "deployment", "--all", count)
            await asyncio.to_thread(replicated.rolled_out)
            await asyncio.sleep(AFTER)
    print(f"\nthree pods of each workload, then two: {traffic.summary()}")
    assert (traffic.report["failed"], traffic.report["wrong"], traffic.report["incomplete"]) == ([], [], 0)


@pytest.mark.parametrize("workload", ["gateway", "auth", "chat", "history", "history-worker", "webhooks"])
async def test_a_killed_pod_loses_nothing_that_was_shown(
    workload: str, replicated: Cluster, traffic: ClusterTraffic
) -> None:
    victim = replicated.pods(workload)[0]["metadata"]["name"]

    def replaced() -> bool:
        pods = replicated.pods(workload)
        ready = [each for each in pods if is_ready(each)]
        return len(ready) == replicated.replicas()[workload] and victim not in {
            each["metadata"]["name"] for each in pods
        }

    async with traffic.running():
        await asyncio.to_thread(replicated.kubectl, "delete", "pod", victim, "--force", "--grace-period=0")
        await eventually(replaced, within=READY_TIMEOUT)
    print(f"\nkilled {workload}: {traffic.summary()}")
    assert traffic.report["wrong"] == []
    assert workload == "chat" or traffic.report["incomplete"] == 0
