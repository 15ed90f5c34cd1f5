"""Policy for workloads, as rules; each rule is tested with workloads that break it."""

import copy
import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import pytest

from parley.web.server import CLOSE_TIMEOUT
from parley_testing.deployment.manifests import Object

Break: TypeAlias = Callable[[Object, Object], None]
"""Breaks a deployment; gets the deployment and its first container."""

LEAST_UID = 10_000
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
        and all(context.get(key, 0) >= LEAST_UID for key in ("runAsUser", "runAsGroup", "fsGroup"))
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
        and any("emptyDir" in volumes[m["name"]] and m["mountPath"] == "/tmp" for m in container["volumeMounts"])
        for container in containers(deployment)
    )


def gets_no_token_and_no_service_links(deployment: Object) -> bool:
    spec = pod(deployment)
    own_account = spec.get("serviceAccountName") == deployment["metadata"]["name"]
    return own_account and spec.get("automountServiceAccountToken") is False and spec.get("enableServiceLinks") is False


def names_its_image_exactly(deployment: Object) -> bool:
    return all(
        TAG.search(container["image"]) and container.get("imagePullPolicy") == "Always"
        for container in containers(deployment)
    )


def asks_for_what_it_needs(deployment: Object) -> bool:
    kinds = {"cpu", "memory", "ephemeral-storage"}
    return all(
        kinds <= container.get("resources", {}).get(side, {}).keys()
        for container in containers(deployment)
        for side in ("requests", "limits")
    )


def is_probed_on_its_admin_port(deployment: Object) -> bool:
    paths = {"startupProbe": "/ready", "livenessProbe": "/health", "readinessProbe": "/ready"}
    return all(
        container.get(probe, {}).get("httpGet") == {"path": path, "port": "admin"}
        and any(port["name"] == "admin" for port in container.get("ports", []))
        for container in pod(deployment)["containers"]
        for probe, path in paths.items()
    )


def survives_a_roll_out_and_a_lost_node(deployment: Object) -> bool:
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


def gets_its_secrets_as_files(deployment: Object) -> bool:
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


def _set(*path: str, to: object) -> Break:
    """Return a break that sets a field of the pod, or removes it when ``to`` is None."""

    def spoil(deployment: Object, _container: Object) -> None:
        _put(pod(deployment), path, to)

    return spoil


def _in_container(*path: str, to: object) -> Break:
    def spoil(_deployment: Object, container: Object) -> None:
        _put(container, path, to)

    return spoil


def _in_spec(*path: str, to: object) -> Break:
    def spoil(deployment: Object, _container: Object) -> None:
        _put(deployment["spec"], path, to)

    return spoil


def _put(where: Object, path: tuple[str, ...], value: object) -> None:
    *parents, last = path
    for key in parents:
        where = where[key]
    if value is None:
        del where[last]
    else:
        where[last] = value


def _no_tmp(_deployment: Object, container: Object) -> None:
    container["volumeMounts"] = [mount for mount in container["volumeMounts"] if mount["mountPath"] != "/tmp"]


def _endless_tmp(deployment: Object, _container: Object) -> None:
    pod(deployment)["volumes"] = [
        {**volume, "emptyDir": {}} if "emptyDir" in volume else volume for volume in pod(deployment)["volumes"]
    ]


class Case(NamedTuple):
    """A rule, and breaks of it."""

    rule: Callable[[Object], bool]
    breaks: tuple[Break, ...]


CASES = (
    Case(
        runs_as_numeric_user_that_is_not_root,
        (
            _set("securityContext", "runAsNonRoot", to=False),
            _set("securityContext", "runAsUser", to=0),
            _set("securityContext", "fsGroup", to=None),
            _in_container("securityContext", "runAsUser", to=0),
        ),
    ),
    Case(
        is_confined,
        (
            _set("securityContext", "seccompProfile", to=None),
            _in_container("securityContext", "seccompProfile", to={"type": "Unconfined"}),
            _in_container("securityContext", "allowPrivilegeEscalation", to=None),
            _in_container("securityContext", "privileged", to=True),
            _in_container("securityContext", "capabilities", "add", to=["NET_ADMIN"]),
        ),
    ),
    Case(
        shares_nothing_with_its_node,
        (
            _set("hostNetwork", to=True),
            _set("volumes", to=[{"name": "root", "hostPath": {"path": "/"}}]),
            _in_container("ports", to=[{"name": "admin", "containerPort": 1, "hostPort": 1}]),
        ),
    ),
    Case(
        has_read_only_files_and_a_bounded_tmp,
        (_in_container("securityContext", "readOnlyRootFilesystem", to=None), _no_tmp, _endless_tmp),
    ),
    Case(
        gets_no_token_and_no_service_links,
        (
            _set("automountServiceAccountToken", to=None),
            _set("enableServiceLinks", to=None),
            _set("serviceAccountName", to="default"),
        ),
    ),
    Case(
        names_its_image_exactly,
        (
            _in_container("image", to="parley/chat"),
            _in_container("image", to="registry.example.org:5000/parley/chat"),
            _in_container("image", to="parley/chat:latest"),
            _in_container("imagePullPolicy", to="IfNotPresent"),
        ),
    ),
    Case(
        asks_for_what_it_needs,
        (
            _in_container("resources", "limits", "memory", to=None),
            _in_container("resources", "requests", "ephemeral-storage", to=None),
            _in_container("resources", to=None),
        ),
    ),
    Case(
        is_probed_on_its_admin_port,
        (
            _in_container("startupProbe", to=None),
            _in_container("livenessProbe", "httpGet", "path", to="/ready"),
            _in_container("readinessProbe", "httpGet", "port", to="http"),
        ),
    ),
    Case(
        survives_a_roll_out_and_a_lost_node,
        (
            _in_spec("replicas", to=1),
            _in_spec("strategy", to={"type": "Recreate"}),
            _set("topologySpreadConstraints", to=None),
            _in_spec("selector", to={"matchLabels": {"app.kubernetes.io/name": "another"}}),
        ),
    ),
    Case(
        waits_before_it_stops,
        (_in_container("lifecycle", to=None), _set("terminationGracePeriodSeconds", to=None)),
    ),
    Case(
        gets_its_secrets_as_files,
        (
            _in_container("env", to=[{"name": "AUTH_SECRET_KEY", "value": "x"}]),
            _in_container("envFrom", to=[{"secretRef": {"name": "parley-auth"}}]),
            _set("volumes", to=[{"name": "tmp", "emptyDir": {}}, {"name": "secrets", "emptyDir": {}}]),
        ),
    ),
    Case(is_labelled, (_in_spec("template", "metadata", "labels", to={}),)),
)


def deployments(objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] == "Deployment"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule.__name__)
def test_every_deployment_keeps_the_rule(case: Case, base: list[Object]) -> None:
    found = deployments(base)

    assert {each["metadata"]["name"] for each in found} == {"gateway", "auth", "chat", "history", "history-worker"}
    assert [each["metadata"]["name"] for each in found if not case.rule(each)] == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule.__name__)
def test_a_deployment_that_breaks_the_rule_is_refused(case: Case, base: list[Object]) -> None:
    for number, spoil in enumerate(case.breaks):
        deployment = copy.deepcopy(deployments(base)[0])
        spoil(deployment, pod(deployment)["containers"][0])

        assert not case.rule(deployment), f"break {number} is not found"
