"""Kustomizations rendered with the pinned kubectl."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

KUBECTL = str(Path(sys.prefix) / "bin/kubectl")
"""The kubectl of a wheel."""
KUBECTL_SECONDS = 180


def kustomize(folder: Path) -> str:
    """Return the YAML documents of a kustomization."""
    command = [KUBECTL, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=KUBECTL_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_overlay(folder: Path, manifests: Path, components: Sequence[str], choices: Mapping[str, Any]) -> None:
    """Write an overlay of the base with components. ``choices`` are further members of the kustomization."""
    place = os.path.relpath(manifests.resolve(), folder.resolve())
    overlay = {
        "namespace": "parley",
        "resources": [f"{place}/base"],
        "components": [f"{place}/components/{name}" for name in components],
        **choices,
    }
    (folder / "kustomization.yaml").write_text(json.dumps(overlay))
