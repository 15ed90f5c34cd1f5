"""Stores that go away and come back: running pods and starting pods wait for them, and nothing is lost."""

import asyncio
import json
import os
import shlex
import time

import pytest

from parley_testing import eventually
from parley_testing.deployment.cluster import NAME, Cluster, is_ready, run_command
from parley_testing.deployment.cluster_traffic import ClusterTraffic

pytestmark = pytest.mark.chaos

READY_TIMEOUT = 600.0
AWAY = 15.0
"""Seconds for which a store is away."""
STORES = ("redis", "rabbitmq", "postgres")
VANISH = os.environ.get("CLUSTER_VANISH", "")
"""Command that drops every packet of some pods. Its arguments are seconds, a namespace and a label selector."""
VANISHED = 60
"""Seconds for which a store vanishes."""
GROWTH = 1.5
"""Factor by which the memory of a process may grow, which may have just started."""
STARTING = ("auth", "chat")
"""Workloads of which a pod starts while Postgres is away."""


@pytest.mark.parametrize("store", STORES)
async def test_a_store_that_goes_away_and_comes_back_loses_nothing(
    store: str, replicated: Cluster, traffic: ClusterTraffic
) -> None:
    async with traffic.running():
        await asyncio.to_thread(replicated.scale, "statefulset", store, 0)
        await asyncio.sleep(AWAY)
        await asyncio.to_thread(come_back, replicated, store)
        await asyncio.to_thread(replicated.rolled_out)
        await asyncio.sleep(AWAY)
    print(f"\n{store} away: {traffic.summary()}")
    assert traffic.report["wrong"] == []
    assert replicated.restarts() == {}


@pytest.mark.parametrize("store", STORES)
async def test_a_store_that_vanishes_loses_nothing_and_fills_no_memory(
    store: str, replicated: Cluster, traffic: ClusterTraffic
) -> None:
    if not VANISH:
        pytest.skip("CLUSTER_VANISH names no command")
    command = [*shlex.split(VANISH), str(VANISHED), replicated.namespace, f"{NAME}={store}"]
    before = {name: replicated.memory(name) for name in ("gateway", "chat")}
    async with traffic.running():
        await asyncio.sleep(AWAY)
        await asyncio.to_thread(run_command, command)
        await asyncio.sleep(AWAY)
    after = {name: replicated.memory(name) for name in before}
    grown = {name: f"{before[name] // 1024} to {after[name] // 1024} MiB" for name in before}
    print(f"\n{store} vanished for {VANISHED} s, memory {grown}: {traffic.summary()}")
    assert traffic.report["wrong"] == []
    assert {name for name in before if after[name] > before[name] * GROWTH} == set()
    assert replicated.restarts() == {}


def come_back(cluster: Cluster, store: str) -> None:
    """Start a store, and wait until it is ready."""
    cluster.scale("statefulset", store, 1)
    cluster.kubectl("rollout", "status", f"statefulset/{store}", "--timeout=600s")


async def test_a_pod_that_starts_without_its_database_waits_for_it_and_says_so(replicated: Cluster) -> None:
    replicated.scale("statefulset", "postgres", 0)
    for workload in STARTING:
        name = replicated.pods(workload)[0]["metadata"]["name"]
        replicated.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    await eventually(lambda: all(reasons(replicated)), within=READY_TIMEOUT)
    assert not any(is_ready(replicated.pods(workload)[-1]) for workload in STARTING)
    found = reasons(replicated)

    come_back(replicated, "postgres")
    began = time.monotonic()
    await eventually(lambda: all(is_ready(replicated.pods(name)[-1]) for name in STARTING), within=READY_TIMEOUT)
    print(f"\npods that waited for Postgres ({found[0]}) were ready {time.monotonic() - began:.0f} s after it")
    assert replicated.restarts() == {}


def reasons(cluster: Cluster) -> list[str]:
    """Return what the newest pods of the workloads wait for: address and reason, or nothing if they do not wait."""
    found = []
    for workload in STARTING:
        log = cluster.kubectl("logs", cluster.pods(workload)[-1]["metadata"]["name"], check=False)
        entries = [json.loads(line) for line in log.splitlines() if '"start_waits"' in line]
        found.append(
            f"{entries[0]['dependency']} at {entries[0]['address']}: {entries[0]['reason']}" if entries else ""
        )
    return found
