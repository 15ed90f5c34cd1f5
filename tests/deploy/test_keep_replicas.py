"""keep-replicas: after it, enabling an autoscaler does not change the number of pods."""

import subprocess
from pathlib import Path

import yaml

from parley_testing.deployment.manifests import Combine, Object, of_kind

KUBECTL = """#!/bin/sh
case "$*" in
*" get deployments "*) for each in "$STATE"/*.yaml; do echo "deployment.apps/$(basename "$each" .yaml)"; done ;;
*"view-last-applied deployment.apps/"*) name=${5#*/}; cat "$STATE/$name.yaml" ;;
*"set-last-applied --filename -"*)
    cat >"$STATE/new"
    mv "$STATE/new" "$STATE/$(sed -n "s/^  name: //p" "$STATE/new").yaml" ;;
*) echo "unexpected: $*" >&2; exit 1 ;;
esac
"""
"""A kubectl that keeps what it last applied in files."""
CHOSEN_BY_AUTOSCALER = 6


def applied(last: Object, live: int, wanted: Object) -> int:
    """Return the number of replicas after `kubectl apply`, which merges three states and defaults a removed field."""
    if "replicas" in wanted["spec"]:
        return int(wanted["spec"]["replicas"])
    return 1 if "replicas" in last["spec"] else live


def keep_replicas(root: Path, folder: Path) -> None:
    kubectl = folder / "kubectl"
    kubectl.write_text(KUBECTL)
    kubectl.chmod(0o755)
    environment = {"PATH": "/usr/bin:/bin", "KUBECTL": str(kubectl), "STATE": str(folder)}
    command = [str(root / "deploy/k8s/keep-replicas")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_enabling_an_autoscaler_keeps_the_number_of_pods(
    root: Path, base: list[Object], combine: Combine, tmp_path: Path
) -> None:
    before = {each["metadata"]["name"]: each for each in of_kind(base, "Deployment")}
    scaled = {each["metadata"]["name"]: each for each in of_kind(combine(("hpa",)), "Deployment")}
    for name, each in before.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(each))
    assert {applied(before[name], CHOSEN_BY_AUTOSCALER, scaled[name]) for name in before} == {1}

    for _ in range(2):  # it may be repeated
        keep_replicas(root, tmp_path)

    after = {name: yaml.safe_load((tmp_path / f"{name}.yaml").read_text()) for name in before}
    assert {applied(after[name], CHOSEN_BY_AUTOSCALER, scaled[name]) for name in before} == {CHOSEN_BY_AUTOSCALER}
    for name, each in before.items():
        assert after[name] == {**each, "spec": {key: value for key, value in each["spec"].items() if key != "replicas"}}
