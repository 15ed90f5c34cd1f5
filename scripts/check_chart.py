"""Fail if the Helm chart has changed since it was rendered. Needs no helm; `make helm-check` renders it again.

--copy: copy the files that the chart shares with other deployments. --digest: print the digest of the chart.
"""

import hashlib
import shutil
import sys
from pathlib import Path

CHART, RENDERED = Path("deploy/helm/parley"), Path("deploy/helm/rendered")
COPIES = {
    Path("deploy/k8s/components/datastores-dev/stores.yaml"): CHART / "files/stores.yaml",
    Path("deploy/docker/postgres-init/create-databases.sql"): CHART / "files/create-databases.sql",
}
"""Files outside the chart, which cannot refer to them, and their copies."""


def digest() -> str:
    """Return the digest of every file that the renderings depend on."""
    found = hashlib.sha256()
    for path in sorted(CHART.rglob("*")):
        if path.is_file() and path.name != "README.md":
            found.update(f"{path.relative_to(CHART).as_posix()}\n".encode() + path.read_bytes())
    return found.hexdigest()


def findings() -> list[str]:
    """Return what is out of date."""
    different = [copy for source, copy in COPIES.items() if source.read_bytes() != copy.read_bytes()]
    out_of_date = [f"{copy} is out of date" for copy in different]
    if (RENDERED / "chart.sha256").read_text().strip() != digest():
        out_of_date.append(f"{RENDERED} is not of this chart")
    return out_of_date


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    if arguments == ["--copy"]:
        for source, copy in COPIES.items():
            shutil.copyfile(source, copy)
    elif arguments == ["--digest"]:
        sys.stdout.write(f"{digest()}\n")
    elif found := findings():
        sys.stderr.write("\n".join(f"{each}: run make helm" for each in found) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
