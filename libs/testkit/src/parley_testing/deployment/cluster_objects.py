"""Kubernetes objects that tests of a cluster create: pods that call, a shell on a node, volumes of a node."""

from typing import Any

from parley_testing.deployment.manifests import Object

STORAGE_CLASS = "parley-test"
VOLUMES_FOLDER = "/var/tmp/parley-test-volumes"  # noqa: S108 - on a node of the cluster
VOLUMES = 3
"""One for each store."""
MARKED = {"app.kubernetes.io/part-of": "parley-test"}
WAIT = "import threading; threading.Event().wait()"


def namespace(name: str, **labels: str) -> Object:
    """Return a namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def config_map(name: str, files: dict[str, str]) -> Object:
    """Return a ConfigMap of files."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}


def waiting_pod(name: str, image: str, node: str, package: str) -> Object:
    """Return a pod that waits for commands; the ConfigMap of its name is a Python package in it."""
    container = {
        "command": ["python", "-c", WAIT],
        "env": [{"name": "PYTHONPATH", "value": "/files"}],
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}},  # it measures, so it must not wait for the others
        "volumeMounts": [{"name": "files", "mountPath": f"/files/{package}"}],
    }
    volumes = [{"name": "files", "configMap": {"name": name}}]
    return _pod(name, image, node, container, volumes=volumes, terminationGracePeriodSeconds=1)


def node_shell(name: str, image: str, node: str, command: str) -> Object:
    """Return a pod that runs a command as root, in which `/volumes` is the node's folder of volumes."""
    container = {
        "command": ["/bin/sh", "-euc", command],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
    }
    volumes = [{"name": "volumes", "hostPath": {"path": VOLUMES_FOLDER, "type": "DirectoryOrCreate"}}]
    return _pod(name, image, node, container, volumes=volumes, restartPolicy="Never")


def _pod(name: str, image: str, node: str, container: dict[str, Any], **spec: Any) -> Object:
    container |= {"name": name, "image": image, "imagePullPolicy": "IfNotPresent"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "automountServiceAccountToken": False,
            "containers": [container],
            **spec,
        },
    }


def node_volumes(node: str) -> list[Object]:
    """Return a default StorageClass, and volumes in folders of the node."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "labels": MARKED,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    volumes = [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"parley-test-{number}", "labels": MARKED},
            "spec": {
                "storageClassName": STORAGE_CLASS,
                "capacity": {"storage": "4Gi"},
                "accessModes": ["ReadWriteOnce"],
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": f"{VOLUMES_FOLDER}/{number}"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }
        for number in range(VOLUMES)
    ]
    return [storage_class, *volumes]
