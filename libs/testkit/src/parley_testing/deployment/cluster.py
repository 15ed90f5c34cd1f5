"""A Kubernetes cluster as an operator sees it: kubectl, workloads, pods."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parley_testing.deployment.kustomize import KUBECTL
from parley_testing.deployment.manifests import Object

COMMAND_TIMEOUT = 900.0
NAME = "app.kubernetes.io/name"


class CommandError(AssertionError):
    """A command failed; the text is its output."""


def run_command(
    command: Sequence[str], *, stdin: str = "", timeout: float = COMMAND_TIMEOUT, check: bool = True, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Run a command; raise ``CommandError`` if it fails."""
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
        check=False, **options,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise CommandError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout[-4000:]}")
    return done


@dataclass(frozen=True)
class Nodes:
    """The node that keeps stores and traffic, and the one that drains and vanishes; the same if there is only one."""

    kept: str
    lost: str


@dataclass(frozen=True)
class Cluster:
    """The cluster of ``KUBECONFIG``, and one namespace in it."""

    namespace: str
    program: str = os.environ.get("KUBECTL", KUBECTL)

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = COMMAND_TIMEOUT, check: bool = True) -> str:
        """Run kubectl in the namespace and return what it wrote, standard error included."""
        return self.status(*arguments, stdin=stdin, timeout=timeout, check=check).stdout

    def status(
        self, *arguments: str, stdin: str = "", timeout: float = COMMAND_TIMEOUT, check: bool = False
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl in the namespace; return its status and output. A failure raises only with ``check``."""
        command = [self.program, "--namespace", self.namespace, *arguments]
        return run_command(command, stdin=stdin, timeout=timeout, check=check)

    def get(self, kind: str, *options: str) -> list[Object]:
        """Return the objects of a kind."""
        found: list[Object] = json.loads(self.kubectl("get", kind, *options, "--output", "json"))["items"]
        return found

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or change objects."""
        self.kubectl(
            "apply", "--filename", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def exists(self, kind: str, name: str) -> bool:
        """Return whether an object exists."""
        return bool(self.kubectl("get", kind, name, "--ignore-not-found", "--output", "name").strip())

    def replicas(self) -> dict[str, int]:
        """Return the wanted number of pods of each deployment."""
        return {each["metadata"]["name"]: int(each["spec"]["replicas"]) for each in self.get("deployments")}

    def rolled_out(self) -> None:
        """Wait until every deployment runs its newest version and all pods are ready."""
        for name in self.replicas():
            self.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={COMMAND_TIMEOUT:.0f}s")

    def pods(self, workload: str) -> list[Object]:
        """Return the pods of a workload that are not ending, the oldest first."""
        found = [each for each in self.get("pods", "--selector", f"{NAME}={workload}") if not is_ending(each)]
        return sorted(found, key=lambda each: str(each["metadata"]["creationTimestamp"]))

    def restarts(self) -> dict[str, int]:
        """Return the restarts of each pod of the deployments; pods that never restarted are left out."""
        counts = {
            each["metadata"]["name"]: sum(one["restartCount"] for one in each["status"].get("containerStatuses", []))
            for each in self.get("pods", "--selector", f"{NAME} in ({','.join(self.replicas())})")
        }
        return {name: count for name, count in counts.items() if count}

    def memory(self, workload: str) -> int:
        """Return the resident memory of the service's process in KiB, summed over the pods of a workload."""
        command = ("grep", "VmRSS", "/proc/1/status")
        return sum(int(self.inside(pod["metadata"]["name"], *command).split()[1]) for pod in self.pods(workload))

    def scale(self, kind: str, name: str, replicas: int) -> None:
        """Set the number of pods of a workload; if it is 0, wait until they are gone."""
        self.kubectl("scale", kind, name, f"--replicas={replicas}")
        if not replicas:
            self.kubectl("wait", "pod", "--selector", f"{NAME}={name}", "--for=delete", "--timeout=180s", check=False)

    def inside(self, target: str, *command: str, stdin: str = "", check: bool = True) -> str:
        """Run a command in a running pod and return its output."""
        return self.kubectl("exec", *(["--stdin"] if stdin else []), target, "--", *command, stdin=stdin, check=check)


def is_ending(pod: Object) -> bool:
    """Return whether a pod is being deleted."""
    return "deletionTimestamp" in pod["metadata"]


def is_ready(pod: Object) -> bool:
    """Return whether a pod is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
