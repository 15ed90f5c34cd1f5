"""Policy for workloads, as rules, and for each rule the fields that break it."""

import re
from collections.abc import Callable
from typing import TypeAlias

from parley.web.server import CLOSE_TIMEOUT
from parley_testing.deployment.manifests import Object

Rule: TypeAlias = Callable[[Object], bool]

MIN_UID = 10_000
TMP = "/tmp"  # noqa: S108 - the volume of a container
LABELS = {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "version")}
TAG = re.compile(r"(:(?!latest$)[\w.-]+|@sha256:[0-9a-f]{64})$")
SECRET_NAME = re.compile(r"SECRET(?!S_DIR)|PASSWORD$|_KEY$|DATABASE_URL|REDIS_URL|AMQP_URL")


def pod(deployment: Object) -> Object:
    found: Object = deployment["spec"]["template"]["spec"]
    return found


def containers(deployment: Object) -> list[Object]:
    return [*pod(deployment)["containers"], *pod(deployment).get("initContainers", [])]


def runs_as_numeric_user_that_is_not_root(deployment: Object) -> bool:
    context = pod(deployment).get("securityContext", {})
    return (
        context.get("runAsNonRoot") is True
        and all(context.get(key, 0) >= MIN_UID for key in ("runAsUser", "runAsGroup", "fsGroup"))
        and not any("runAsUser" in container.get("securityContext", {}) for container in containers(deployment))
    )


def is_confined(deployment: Object) -> bool:
    profile = {"type": "RuntimeDefault"}
    return pod(deployment)["securityContext"].get("seccompProfile") == profile and all(
        context.get("allowPrivilegeEscalation") is False
        and context.get("capabilities") == {"drop": ["ALL"]}
        and not context.get("privileged")
        and context.get("seccompProfile", profile) == profile
        for context in (container.get("securityContext", {}) for container in containers(deployment))
    )


def shares_nothing_with_its_node(deployment: Object) -> bool:
    spec = pod(deployment)
    shared = any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    ports = [port for container in containers(deployment) for port in container.get("ports", [])]
    volumes = spec.get("volumes", [])
    return not (shared or any("hostPort" in port for port in ports) or any("hostPath" in each for each in volumes))


def has_read_only_files_and_a_bounded_tmp(deployment: Object) -> bool:
    volumes = {volume["name"]: volume for volume in pod(deployment).get("volumes", [])}
    bounded = all(volume["emptyDir"].get("sizeLimit") for volume in volumes.values() if "emptyDir" in volume)
    return bounded and all(
        container.get("securityContext", {}).get("readOnlyRootFilesystem") is True
        and any("emptyDir" in volumes.get(m["name"], ()) and m["mountPath"] == TMP for m in container["volumeMounts"])
        for container in containers(deployment)
    )


def mounts_no_token_and_no_service_links(deployment: Object) -> bool:
    spec = pod(deployment)
    own_account = spec.get("serviceAccountName") == deployment["metadata"]["name"]
    return own_account and spec.get("automountServiceAccountToken") is False and spec.get("enableServiceLinks") is False


def pins_its_image(deployment: Object) -> bool:
    return all(
        TAG.search(container["image"]) and container.get("imagePullPolicy") in {"IfNotPresent", "Always"}
        for container in containers(deployment)
    )


def requests_and_limits_its_resources(deployment: Object) -> bool:
    kinds = {"cpu", "memory", "ephemeral-storage"}
    return all(
        kinds <= container.get("resources", {}).get(side, {}).keys()
        for container in containers(deployment)
        for side in ("requests", "limits")
    )


def has_probes_on_its_admin_port(deployment: Object) -> bool:
    paths = {"startupProbe": "/ready", "livenessProbe": "/health", "readinessProbe": "/ready"}
    return all(
        container.get(probe, {}).get("httpGet") == {"path": path, "port": "admin"}
        and any(port["name"] == "admin" for port in container.get("ports", []))
        for container in pod(deployment)["containers"]
        for probe, path in paths.items()
    )


def survives_a_rollout_and_a_lost_node(deployment: Object) -> bool:
    spec = deployment["spec"]
    rolling = spec.get("strategy", {}).get("rollingUpdate", {})
    spread = pod(deployment).get("topologySpreadConstraints", [])
    keys = {each["topologyKey"] for each in spread}
    aimed = all(each["labelSelector"] == spec["selector"] for each in spread)
    return (
        spec.get("replicas", 0) >= 2
        and rolling.get("maxUnavailable") == 0
        and rolling.get("maxSurge", 0) != 0
        and {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} <= keys
        and aimed
    )


def waits_before_it_stops(deployment: Object) -> bool:
    seconds: list[int] = [
        c.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0) for c in containers(deployment)
    ]
    grace: int = pod(deployment).get("terminationGracePeriodSeconds", 0)
    return min(seconds) > 0 and grace > max(seconds) + CLOSE_TIMEOUT


def mounts_its_secrets_as_files(deployment: Object) -> bool:
    volumes = {volume["name"]: volume for volume in pod(deployment).get("volumes", [])}
    names = [entry["name"] for container in containers(deployment) for entry in container.get("env", [])]
    mounts = [mount for container in containers(deployment) for mount in container["volumeMounts"]]
    secret = [mount for mount in mounts if "secret" in volumes[mount["name"]]]
    from_env = [source for container in containers(deployment) for source in container.get("envFrom", [])]
    return (
        bool(secret)
        and all(mount.get("readOnly") for mount in secret)
        and not any(SECRET_NAME.search(name) for name in names)
        and not any("secretRef" in source for source in from_env)
    )


def is_labelled(deployment: Object) -> bool:
    metadata = [deployment["metadata"], deployment["spec"]["template"]["metadata"]]
    return all(each.get("labels", {}).keys() >= LABELS for each in metadata)


BREAKS: dict[Rule, dict[str, object]] = {
    runs_as_numeric_user_that_is_not_root: {
        "pod.securityContext.runAsUser": 0,
        "container.securityContext.runAsUser": 0,
    },
    is_confined: {
        "pod.securityContext.seccompProfile": None,
        "container.securityContext.allowPrivilegeEscalation": True,
        "container.securityContext.capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
    },
    shares_nothing_with_its_node: {
        "pod.hostNetwork": True,
        "pod.volumes": [{"name": "root", "hostPath": {"path": "/"}}],
        "container.ports": [{"name": "admin", "containerPort": 1, "hostPort": 1}],
    },
    has_read_only_files_and_a_bounded_tmp: {
        "container.securityContext.readOnlyRootFilesystem": False,
        "container.volumeMounts": [],
    },
    mounts_no_token_and_no_service_links: {"pod.automountServiceAccountToken": True, "pod.enableServiceLinks": True},
    pins_its_image: {"container.image": "parley/chat:latest", "container.imagePullPolicy": "Never"},
    requests_and_limits_its_resources: {"container.resources.limits": {"cpu": "1"}, "container.resources": {}},
    has_probes_on_its_admin_port: {"container.startupProbe": {}, "container.livenessProbe.httpGet.path": "/ready"},
    survives_a_rollout_and_a_lost_node: {"spec.replicas": 1, "pod.topologySpreadConstraints": []},
    waits_before_it_stops: {"container.lifecycle": {}, "pod.terminationGracePeriodSeconds": 0},
    mounts_its_secrets_as_files: {
        "container.env": [{"name": "AUTH_SECRET_KEY", "value": "x"}],
        "container.envFrom": [{"secretRef": {"name": "parley-auth"}}],
    },
    is_labelled: {"spec.template.metadata.labels": {}},
}
"""For each rule: fields that break it, by their path, with the breaking value."""


ANY_WORKLOAD: tuple[Rule, ...] = (
    is_confined,
    shares_nothing_with_its_node,
    has_read_only_files_and_a_bounded_tmp,
    mounts_no_token_and_no_service_links,
    pins_its_image,
    requests_and_limits_its_resources,
)
"""The rules that also hold for stores, jobs and test servers."""
