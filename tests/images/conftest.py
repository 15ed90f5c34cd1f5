"""Images of the services, built with the local engine."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley_testing.deployment.docker import docker, missing_program

BUILD_TIMEOUT = 1800.0
VERSION = "images-test"


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def build(root: Path) -> Iterator[list[str]]:
    """Build every image once; the names of the images are removed at the end."""
    if problem := missing_program():
        pytest.fail(f"make images-test needs Docker with compose and buildx: {problem}")
    os.environ.update(VERSION=VERSION, GIT_SHA="0123456789")
    began = time.monotonic()
    docker("buildx", "bake", "-f", "deploy/docker/bake.hcl", "test", "--load", timeout=BUILD_TIMEOUT, cwd=root)
    print(f"\nimages built in {time.monotonic() - began:.0f} s")
    names = docker(
        "images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=parley/*:{VERSION}"
    ).split()
    yield sorted(names)
    docker("rmi", "--force", *names, check=False)


@pytest.fixture(scope="session")
def images(build: list[str]) -> list[str]:
    """The images of the services."""
    return [name for name in build if name.partition(":")[0] not in {"parley/fake-provider", "parley/local-model"}]


@pytest.fixture(scope="session")
def each(images: list[str]) -> dict[str, str]:
    """The images by their service."""
    return {image.rpartition("/")[2].partition(":")[0]: image for image in images}
