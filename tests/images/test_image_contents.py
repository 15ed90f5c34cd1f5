"""What images contain: size, layers, labels, bill of materials, and notices."""

import json
import re
import shutil
import subprocess
import tarfile
import uuid
import zlib
from pathlib import Path

import pytest

from parley_testing.deployment.docker import DockerError, docker, in_image, inspect

pytestmark = pytest.mark.chaos

MAX_BYTES = 120_000_000
"""Most bytes of an image on top of its base."""
MAX_CHANGE_BYTES = 2_000_000
"""Most compressed bytes that a change of one line sends to a registry."""


def test_an_image_is_small_and_shares_the_layer_of_packages(each: dict[str, str]) -> None:
    layers = {service: inspect(image)["RootFS"]["Layers"] for service, image in each.items()}
    base = base_layers(each["gateway"])
    sizes = {service: size_on_top(image) for service, image in each.items()}
    for service, size in sizes.items():
        print(
            f"\n{service}: {size / 1e6:.1f} MB on top of the base, {inspect(each[service])['Size'] / 1e6:.1f} in all",
            end="",
        )
    print()
    shared = {tuple(found[: len(base) + 2]) for found in layers.values()}

    assert len(shared) == 1
    assert max(sizes.values()) <= MAX_BYTES


def base_layers(image: str) -> list[str]:
    base = inspect(image)["Config"]["Labels"]["org.opencontainers.image.base.name"]
    found: list[str] = inspect(base)["RootFS"]["Layers"]
    return found


def size_on_top(image: str) -> int:
    """Return the bytes of an image's files on top of its base."""
    name = inspect(image)["Config"]["Labels"]["org.opencontainers.image.base.name"]
    return int(inspect(image)["Size"]) - int(inspect(name)["Size"])


def test_no_bytecode_is_stored_twice(each: dict[str, str], tmp_path: Path) -> None:
    for service, image in each.items():
        seen: set[str] = set()
        for layer in saved_layers(image, tmp_path / service):
            with tarfile.open(layer) as archive:
                names = {member.name for member in archive if member.name.endswith(".pyc")}
            assert names & seen == set()
            seen |= names
        assert any("app/parley/" in name for name in seen)


def saved_layers(image: str, folder: Path) -> list[Path]:
    """Return the files of an image's layers, the base first."""
    folder.mkdir(parents=True)
    docker("save", "--output", str(folder / "image.tar"), image, timeout=300)
    with tarfile.open(folder / "image.tar") as archive:
        archive.extractall(folder, filter="data")
    (folder / "image.tar").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    return [folder / name for name in manifest[0]["Layers"]]


def compressed(path: Path) -> int:
    packer, size = zlib.compressobj(), 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            size += len(packer.compress(block))
    return size + len(packer.flush())


def test_a_change_of_one_line_sends_little_to_a_registry(each: dict[str, str], root: Path, tmp_path: Path) -> None:
    for service, image in each.items():
        before = inspect(image)["RootFS"]["Layers"]
        changed = rebuilt(service, image, root, tmp_path)
        after = inspect(changed)["RootFS"]["Layers"]
        files = saved_layers(changed, tmp_path / f"{service}-saved")
        sent = sum(compressed(file) for file, name in zip(files, after, strict=True) if name not in before)
        docker("rmi", "--force", changed)
        print(f"\n{service}: {sent / 1e6:.2f} MB sent after a change of one line", end="")
        assert 0 < sent < MAX_CHANGE_BYTES
    print()


def rebuilt(service: str, image: str, root: Path, tmp_path: Path) -> str:
    """Build a copy of the clone in which one line of the service is new."""
    context = tmp_path / f"{service}-context"
    files = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in files.stdout.splitlines():
        if name.startswith(("requirements/", "cli/", "libs/", "services/", "deploy/docker/", ".dockerignore")):
            target = context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, target)
    main = context / f"services/{service}/src/{service}/main.py"
    main.write_text(f"{main.read_text()}\n# {uuid.uuid4()}\n")
    changed = f"{image.rpartition(':')[0]}:images-test-changed"
    admin = next(line for line in inspect(image)["Config"]["Env"] if line.startswith("ADMIN_PORT="))
    docker(
        *("buildx", "build", "--load", "-f", "deploy/docker/service.Dockerfile", "-t", changed),
        *("--build-arg", f"SERVICE={service}", "--build-arg", admin, "."),
        cwd=context,
        timeout=600,
    )
    return changed


def test_every_image_has_its_labels(each: dict[str, str]) -> None:
    for service, image in each.items():
        labels = inspect(image)["Config"]["Labels"]
        found = {name.rpartition(".")[2]: value for name, value in labels.items()}
        assert found["title"] == f"parley-{service}"
        assert (found["licenses"], found["revision"], found["version"]) == ("Apache-2.0", "0123456789", "images-test")
        assert found["description"]


def pins(root: Path) -> dict[str, str]:
    """Return the versions of the packages that are pinned without a condition."""
    text = (root / "requirements/images.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\$", text, re.MULTILINE))


def test_the_bill_of_materials_has_every_pinned_package(each: dict[str, str], root: Path) -> None:
    bom = json.loads(in_image(each["chat"], "cat", "/app/share/sbom.cdx.json").stdout)
    found = {component["name"].lower().replace("_", "-"): component for component in bom["components"]}

    assert bom["bomFormat"] == "CycloneDX"
    assert {
        name: version for name, version in pins(root).items() if found.get(name, {}).get("version") != version
    } == {}
    assert all(component["purl"].startswith("pkg:pypi/") for component in found.values())


def test_the_notices_name_every_package_and_its_licence(each: dict[str, str], root: Path) -> None:
    text = in_image(each["chat"], "cat", "/app/share/THIRD_PARTY_NOTICES.txt").stdout
    sections = [section.strip() for section in text.split("=" * 100)[1:]]
    found = {section.split(" ", 1)[0].lower().replace("_", "-"): section for section in sections}

    assert set(pins(root)) <= set(found)
    assert all(len(section.splitlines()) > 1 for section in sections)


def test_a_build_without_its_arguments_is_refused(root: Path) -> None:
    with pytest.raises(DockerError, match="SERVICE is required"):
        docker("buildx", "build", "-f", "deploy/docker/service.Dockerfile", ".", cwd=root, timeout=600)
