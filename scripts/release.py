"""Make the files of a release in dist/: wheels, chart, install.yaml, bills of materials, notes, checksums, signature.

Usage: release.py (--key FILE | --unsigned) [--images]

The tree must be clean, and CHANGELOG.md must have a section of the version: make version VERSION=X.Y.Z writes it.
--key is a private key of ssh-keygen. --images also builds the images with the local Docker engine. Two runs on one
commit make the same bytes, except for the signature and the images.
"""

import argparse
import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import version as product

ROOT = product.ROOT
DIST = ROOT / "dist"
SERVICES = ("auth", "chat", "gateway", "history", "webhooks")
PACKAGES = ("events", "common", "embedded", *SERVICES, "cli")
"""Those that a release has; the others are for tests."""
CHART = ROOT / "deploy/helm/parley"
BAKE_FILE = "deploy/docker/bake.hcl"
SBOM_TOOL = ROOT / ".tools/sbom/bin/cyclonedx-py"
CHECKSUMS = "SHA256SUMS"
NAMESPACE = "parley-release"
"""Purpose of the signature, without which ssh-keygen does not verify it."""
STEP_SECONDS = 900


class ReleaseError(Exception):
    """Why there is no release; one line."""


def run(*command: str | Path, environment: dict[str, str] | None = None, stdin: bytes | None = None) -> bytes:
    """Run a program in the root of the clone and return its output; raise ReleaseError when it fails."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            input=stdin,
            capture_output=True,
            timeout=STEP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReleaseError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise ReleaseError(f"{command[0]} {command[1]} failed: {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout


def require_release(version: str) -> str:
    """Return the section of the changelog; raise ReleaseError unless the tree is one that can be released."""
    if wrong := product.differences(ROOT):
        raise ReleaseError("; ".join(wrong))
    if run("git", "status", "--porcelain"):
        raise ReleaseError("The tree has changes that are not committed.")
    notes = product.section((ROOT / product.CHANGELOG).read_text(encoding="utf-8"), version)
    if not notes:
        raise ReleaseError(f"{product.CHANGELOG} has no section of {version}. Run: make version VERSION=X.Y.Z")
    return notes


def build_wheels(time: int) -> None:
    """Build a wheel of each released package."""
    for name in PACKAGES:
        command = (
            ROOT / ".tools/uv/bin/uv",
            "build",
            "--package",
            f"parley-{name}",
            "--wheel",
            "--out-dir",
            DIST / "wheels",
        )
        run(*command, environment={"SOURCE_DATE_EPOCH": str(time)})
    (DIST / "wheels/.gitignore").unlink(missing_ok=True)


def render_manifests() -> None:
    """Write the objects of the Kubernetes base into one file."""
    text = run(ROOT / ".venv/bin/kubectl", "kustomize", "deploy/k8s/base")
    (DIST / "install.yaml").write_bytes(text)


def pack_chart(version: str, time: int) -> None:
    """Pack the Helm chart."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in CHART.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(f"parley/{path.relative_to(CHART)}")
            entry.size, entry.mtime, entry.mode = path.stat().st_size, time, 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    packed = gzip.compress(content.getvalue(), mtime=0)
    (DIST / f"parley-{version}.tgz").write_bytes(packed)


def write_boms() -> None:
    """Write a CycloneDX bill of materials of each service and of the command line."""
    if not SBOM_TOOL.exists():
        raise ReleaseError(f"{SBOM_TOOL} is missing. Run: make release")
    (DIST / "sbom").mkdir()
    for name in (*SERVICES, "cli"):
        project = ROOT / (f"services/{name}" if name in SERVICES else name) / "pyproject.toml"
        target = DIST / "sbom" / f"parley-{name}.cdx.json"
        run(
            *(SBOM_TOOL, "requirements", f"requirements/{name}.txt", "--pyproject", project, "--output-reproducible"),
            *("--output-format", "JSON", "--output-file", target),
        )


def build_images(version: str) -> None:
    """Build the images, and write their IDs into a file."""
    commit = run("git", "rev-parse", "HEAD").decode().strip()
    run("docker", "buildx", "bake", "-f", BAKE_FILE, "--load", environment={"VERSION": version, "GIT_SHA": commit})
    tags = [f"parley/{name}:{version}" for name in SERVICES]
    found = run("docker", "image", "inspect", "--format", "{{index .RepoTags 0}} {{.Id}}", *tags)
    (DIST / "images.txt").write_bytes(found)


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file, in the format of sha256sum."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def sign(folder: Path, key: Path) -> None:
    """Sign the checksums, and verify the signature."""
    checksums, signature = folder / CHECKSUMS, folder / f"{CHECKSUMS}.sig"
    run("ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", key, checksums)
    run("ssh-keygen", "-Y", "check-novalidate", "-n", NAMESPACE, "-s", signature, stdin=checksums.read_bytes())


def release(*, key: Path | None, images: bool) -> list[str]:
    """Make the release; return what is left out."""
    version = product.current(ROOT)
    notes = require_release(version)
    time = int(run("git", "log", "-1", "--format=%ct"))
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    (DIST / "NOTES.md").write_text(f"# Parley {version}\n\n{notes}\n", encoding="utf-8")
    build_wheels(time)
    render_manifests()
    pack_chart(version, time)
    write_boms()
    left_out = []
    if images:
        build_images(version)
    else:
        left_out.append("images (--images builds them)")
    write_checksums(DIST)
    if key is not None:
        sign(DIST, key)
    else:
        left_out.append("signature (--unsigned)")
    return left_out


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    signing = parser.add_mutually_exclusive_group(required=True)
    signing.add_argument("--key", type=lambda text: Path(text).absolute(), help="private key of ssh-keygen")
    signing.add_argument("--unsigned", action="store_true")
    parser.add_argument("--images", action="store_true")
    options = parser.parse_args(arguments)
    try:
        left_out = release(key=options.key, images=options.images)
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    count = sum(path.is_file() for path in DIST.rglob("*"))
    print(f"dist: {count} files of Parley {product.current(ROOT)}. Not made: {', '.join(left_out) or 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
