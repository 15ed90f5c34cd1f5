"""A cluster for the tests of this folder: images, volumes, and a pod that sends traffic. See docs/cluster.md."""

import os
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from parley_testing.deployment.cluster import Cluster, Nodes, run_command
from parley_testing.deployment.cluster_objects import (
    VOLUMES,
    config_map,
    namespace,
    node_shell,
    node_volumes,
    waiting_pod,
)
from parley_testing.deployment.cluster_traffic import AUTH_SETTINGS, GATEWAY_SETTINGS, PACKAGE, ClusterTraffic
from parley_testing.deployment.docker import docker, missing_program

NAMESPACE = "parley"
"""The namespace of the overlays."""
CALLERS, STRANGERS = "parley-test", "parley-test-strangers"
"""Namespaces of pods that may call the gateway, and of pods that may call nothing."""
STREAMS = int(os.environ.get("CLUSTER_STREAMS", "20"))
RATE = float(os.environ.get("CLUSTER_RATE", "10"))
LOAD = os.environ.get("CLUSTER_LOAD", "")
"""Command that brings the images named behind it into the cluster."""
BUILD_TIMEOUT = 1800.0
VERSION = "0.1.0"
"""The tag in the manifests."""
WORKLOADS = ("gateway", "auth", "chat", "history", "history-worker", "webhooks")
SETTINGS = {"parley": {"LOG_LEVEL": "info"}, "gateway": GATEWAY_SETTINGS, "auth": AUTH_SETTINGS}
"""Settings by ConfigMap."""
STORE_IMAGES = ("postgres:17.6-bookworm", "valkey/valkey:8.1.8", "rabbitmq:4.2.5")


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The namespace of Parley, which must not exist yet."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("make cluster-test needs KUBECONFIG: the cluster in which it may install Parley")
    made = Cluster(NAMESPACE)
    made.kubectl("version")
    if made.exists("namespace", NAMESPACE):
        pytest.fail(f"the cluster has a namespace {NAMESPACE} already: it would be deleted")
    return made


@pytest.fixture(scope="session")
def nodes(cluster: Cluster) -> Nodes:
    names = sorted(each["metadata"]["name"] for each in cluster.get("nodes"))
    lost = os.environ.get("CLUSTER_LOST_NODE", names[-1])
    return Nodes(next((name for name in names if name != lost), lost), lost)


@pytest.fixture(scope="session")
def images(root: Path) -> None:
    """Build the images and bring them into the cluster, if a command does that; else the cluster has them."""
    if not LOAD:
        return
    if problem := missing_program():
        pytest.fail(f"CLUSTER_LOAD needs Docker with buildx: {problem}")
    os.environ["VERSION"] = VERSION
    docker(
        "buildx",
        "bake",
        "-f",
        "deploy/docker/bake.hcl",
        "image",
        "fake-provider",
        "--load",
        cwd=root,
        timeout=BUILD_TIMEOUT,
    )
    built = [f"parley/{path.name}:{VERSION}" for path in sorted((root / "services").iterdir())]
    run_command([*shlex.split(LOAD), *built, f"parley/fake-provider:{VERSION}", *STORE_IMAGES], timeout=BUILD_TIMEOUT)


@pytest.fixture(scope="session")
def callers(cluster: Cluster, nodes: Nodes, images: None, root: Path) -> Iterator[Cluster]:
    """Namespaces with a pod each, of which one may call the gateway as an ingress controller does."""
    files = {path.name: path.read_text() for path in (root / "tests/support" / PACKAGE).glob("*.py")}
    for name, labels in ((CALLERS, {"parley/ingress": "true"}), (STRANGERS, {})):
        space = Cluster(name)
        space.apply(namespace(name, **labels))
        space.apply(
            config_map("traffic", files), waiting_pod("traffic", f"parley/gateway:{VERSION}", nodes.kept, PACKAGE)
        )
        space.kubectl("wait", "pod/traffic", "--for=condition=Ready", "--timeout=300s")
    yield Cluster(CALLERS)
    for name in (CALLERS, STRANGERS):
        cluster.kubectl("delete", "namespace", name, "--timeout=300s", check=False)


@pytest.fixture(scope="session")
def strangers(callers: Cluster) -> Cluster:
    """The namespace whose pod may call nothing."""
    return Cluster(STRANGERS)


@pytest.fixture(scope="session")
def make_volumes(cluster: Cluster, callers: Cluster, nodes: Nodes) -> Iterator[Callable[[], None]]:
    """Make empty volumes for the stores of an installation, where the cluster has no default StorageClass."""
    mark = "storageclass.kubernetes.io/is-default-class"
    classes = cluster.get("storageclasses")
    if any(each["metadata"].get("annotations", {}).get(mark) == "true" for each in classes):
        yield lambda: None
        return

    def remove() -> None:
        cluster.kubectl(
            "delete", "storageclass,persistentvolume", "--selector", "app.kubernetes.io/part-of=parley-test"
        )
        on_node(callers, nodes.kept, "rm -rf /volumes/*")

    def make() -> None:
        remove()
        folders = " ".join(f"/volumes/{number}" for number in range(VOLUMES))
        on_node(callers, nodes.kept, f"mkdir -m 0777 {folders}")
        cluster.apply(*node_volumes(nodes.kept))

    yield make
    remove()


def on_node(callers: Cluster, node: str, command: str) -> None:
    """Run a command as root on the node, in the folder of the volumes."""
    name = f"volumes-{secrets.token_hex(3)}"
    callers.apply(node_shell(name, STORE_IMAGES[0], node, command))
    callers.kubectl("wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=300s")
    callers.kubectl("delete", "pod", name)


@pytest.fixture(scope="session")
def parley(
    cluster: Cluster, make_volumes: Callable[[], None], root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """The namespace after the commands of deploy/k8s/README.md: the overlay `dev` as it is."""
    make_volumes()
    secrets_file = tmp_path_factory.mktemp("secrets") / "secrets.yaml"
    secrets_file.write_text(run_command([str(root / "deploy/k8s/make-secrets")]).stdout)
    began = time.monotonic()
    cluster.kubectl("apply", "-f", str(root / "deploy/k8s/base/namespace.yaml"), "-f", str(secrets_file))
    cluster.kubectl("apply", "-k", str(root / "deploy/k8s/overlays/dev"))
    cluster.rolled_out()
    print(f"\noverlays/dev: ready {time.monotonic() - began:.0f} s after `apply`")
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=600s")


@pytest.fixture(scope="session")
def apply_overlay(
    cluster: Cluster, nodes: Nodes, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., None]:
    """Apply the overlay `dev` with settings for many requests, and either two replicas or components."""
    kept = {"op": "add", "path": "/spec/template/spec/nodeSelector", "value": {"kubernetes.io/hostname": nodes.kept}}

    def apply(*components: str) -> None:
        folder = tmp_path_factory.mktemp("overlay")
        manifests = os.path.relpath(root / "deploy/k8s", folder)
        overlay = {
            "resources": [f"{manifests}/overlays/dev"],
            "components": [f"{manifests}/components/{name}" for name in components],
            "configMapGenerator": [
                {
                    "name": name,
                    "namespace": NAMESPACE,
                    "behavior": "merge",
                    "literals": [f"{k}={v}" for k, v in added.items()],
                }
                for name, added in SETTINGS.items()
            ],
            "patches": [{"target": {"kind": "StatefulSet", "name": "fake-provider"}, "patch": yaml.safe_dump([kept])}],
            "replicas": [] if components else [{"name": name, "count": 2} for name in WORKLOADS],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
        cluster.kubectl("apply", "-k", str(folder))
        cluster.kubectl("rollout", "status", "statefulset/fake-provider", "--timeout=600s")
        cluster.rolled_out()

    return apply


@pytest.fixture(scope="session")
def replicated(parley: Cluster, apply_overlay: Callable[..., None]) -> Cluster:
    """Parley with two replicas of each workload."""
    apply_overlay()
    return parley


@pytest.fixture
def traffic(callers: Cluster) -> ClusterTraffic:
    """Traffic to the address of the Service: as an ingress controller, it looks no name up for a connection."""
    service = Cluster(NAMESPACE).kubectl("get", "service", "gateway", "--output", "jsonpath={.spec.clusterIP}")
    host = f"[{service}]" if ":" in service else service
    return ClusterTraffic(callers, f"http://{host}:8000", STREAMS, RATE)
