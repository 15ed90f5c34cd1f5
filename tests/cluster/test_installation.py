"""The kustomize overlay `dev`, installed as its README says: first answer, who reaches whom, autoscaling."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from parley_testing import eventually
from parley_testing.deployment.cluster import Cluster, run_command
from parley_testing.deployment.manifests import Object

pytestmark = pytest.mark.chaos

STORES = ("postgres", "redis", "rabbitmq")
PORTS = {
    "gateway": 8000, "auth": 8001, "chat": 8002, "history": 8003, "webhooks": 8004,
    "postgres": 5432, "redis": 6379, "rabbitmq": 5672, "fake-provider": 8100,
}  # fmt: skip
ADMIN_PORTS = {"gateway": 9000, "auth": 9001, "chat": 9002, "history": 9003, "webhooks": 9004, "history-worker": 9013}
ALLOWED: dict[str, set[str]] = {
    "gateway": {"auth", "chat", "history", "webhooks", "redis"},
    "auth": {"auth", *STORES},
    "chat": {"auth", "history", "fake-provider", *STORES},
    "history": {"auth", *STORES},
    "history-worker": {"auth", *STORES},
    "webhooks": {"auth", *STORES},
    "fake-provider": set(),
}
"""Who reaches whom, as the table in deploy/k8s/README.md says."""
PROBE = """
import asyncio, json, sys
async def reaches(target):
    host, _, port = target.rpartition(":")
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True
    except OSError:
        return False
async def main():
    print(json.dumps(await asyncio.gather(*map(reaches, sys.argv[1:]))))
asyncio.run(main())
"""
ASK = """
import sys, httpx2
name, password = sys.argv[1:]
with httpx2.Client(base_url="http://gateway.parley:8000", timeout=60) as http:
    form = {"grant_type": "password", "username": name, "password": password}
    token = http.post("/api/v1/auth/token", data=form).raise_for_status().json()["access_token"]
    body, headers = {"message": "hello [[fake tokens=3]]"}, {"Authorization": f"Bearer {token}"}
    answer = http.post("/api/v1/chat", json=body, headers=headers)
    print(answer.json()["message"] if answer.is_success else answer.text)
"""


def test_the_smoke_test_of_the_overlay_passes(parley: Cluster) -> None:
    parley.kubectl("wait", "job/smoke-test", "--for=condition=Complete", "--timeout=900s")
    (passed,) = [
        each for each in parley.get("pods", "--selector", "batch.kubernetes.io/job-name=smoke-test") if ended(each)
    ]
    log = parley.kubectl("logs", passed["metadata"]["name"])
    assert [word for line in log.splitlines() if not line.startswith("waiting:") for word in line.split()] == [
        "/ready", "200", "/.well-known/jwks.json", "200", "/openapi.json", "200",
    ]  # fmt: skip
    assert parley.restarts() == {}


def test_the_first_administrator_gets_an_answer_and_no_turn_is_lost(parley: Cluster, callers: Cluster) -> None:
    made = parley.inside("deployment/auth", "parley", "admin", "create-admin", "ada", "--generate-password")
    answer = callers.inside("traffic", "python", "-c", ASK, "ada", made.strip().rpartition(" ")[2])
    assert answer.split() == ["t1", "t2", "t3"]
    parley.inside("deployment/chat", "parley", "verify")


def ended(pod: Object) -> bool:
    """Return whether a pod has done its work."""
    return bool(pod["status"]["phase"] == "Succeeded")


def reached(caller: Cluster, pod: str, addresses: dict[str, str]) -> set[str]:
    """Return the names of the addresses that a pod can connect to."""
    found = json.loads(caller.inside(pod, "python", "-c", PROBE, *addresses.values()))
    return {name for name, open_ in zip(addresses, found, strict=True) if open_}


def addresses_of(parley: Cluster) -> dict[str, str]:
    """Return the addresses of the newest pod of each workload: its port, and `admin` with its admin port."""
    hosts = {name: parley.pods(name)[-1]["status"]["podIP"] for name in {*PORTS, *ADMIN_PORTS}}
    ports = {name: f"{hosts[name]}:{port}" for name, port in PORTS.items()}
    return ports | {f"{name} admin": f"{hosts[name]}:{port}" for name, port in ADMIN_PORTS.items()}


def api_server() -> dict[str, str]:
    """Return the address of the API server, or nothing if it is a node's: some plugins let every pod reach nodes."""
    default = Cluster("default")
    addresses = "jsonpath={.endpoints[*].addresses[*]}"
    found = default.kubectl("get", "endpointslice", "kubernetes", "--output", addresses).split()
    of_nodes = {address["address"] for node in default.get("nodes") for address in node["status"]["addresses"]}
    return {} if of_nodes & set(found) else {"API server": "kubernetes.default:443"}


def test_a_pod_reaches_what_it_needs_and_nothing_else(replicated: Cluster) -> None:
    addresses = addresses_of(replicated) | api_server()
    for workload, allowed in ALLOWED.items():
        oldest = replicated.pods(workload)[0]["metadata"]["name"]
        others = {name: at for name, at in addresses.items() if name.removesuffix(" admin") != workload}
        others |= {"auth": addresses["auth"]} if workload == "auth" else {}
        assert reached(replicated, oldest, others) == allowed, workload
    print(f"\nnetwork policies: {len(ALLOWED)} kinds of pods and {len(addresses)} targets, as the table says")


async def test_other_namespaces_reach_the_gateway_or_metrics_only_with_a_label(
    replicated: Cluster, callers: Cluster, strangers: Cluster
) -> None:
    addresses = addresses_of(replicated)
    assert reached(callers, "traffic", addresses) == {"gateway"}
    assert reached(strangers, "traffic", addresses) == set()

    strangers.kubectl("label", "namespace", strangers.namespace, "parley/monitoring=true")
    admin_ports = {name for name in addresses if name.endswith(" admin")}
    await eventually(lambda: reached(strangers, "traffic", addresses) == admin_ports, within=60)


def test_enabling_the_autoscaler_never_lowers_the_number_of_pods(
    replicated: Cluster, root: Path, apply_overlay: Callable[..., None]
) -> None:
    replicated.scale("deployment", "chat", 3)
    before = replicated.replicas()
    run_command([str(root / "deploy/k8s/keep-replicas")], env={**os.environ, "KUBECTL": replicated.program})
    apply_overlay("hpa")
    after = replicated.replicas()

    assert before["chat"] == 3
    assert {name: count for name, count in after.items() if count < before[name]} == {}
    apply_overlay()
    replicated.kubectl("delete", "horizontalpodautoscalers", "--all")
