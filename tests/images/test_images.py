"""Images that run: start, refused settings, least privileges, operator commands, size, layers, and inventory."""

import json
import re
import secrets
import shutil
import subprocess
import tarfile
import uuid
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from parley_testing import eventually
from parley_testing.deployment.docker import DockerError, docker, inspect, run

pytestmark = pytest.mark.chaos

MAX_BYTES = 120_000_000
"""Most bytes of an image on top of its base."""
MAX_CHANGE_BYTES = 2_000_000
"""Most compressed bytes that a change of one line sends to a registry."""
MISUSED = 2
HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges:true",
    "--tmpfs=/tmp:size=16m",
    "--network=none",
)
UNREACHABLE = {
    "gateway": ("REDIS_URL=redis://127.0.0.1:1/0",),
    "auth": (
        "AUTH_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
        f"AUTH_SECRET_KEY={secrets.token_hex(32)}",
    ),
    "chat": (
        "CHAT_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
        "OPENAI_API_KEY=none",
        f"INTERNAL_CLIENT_SECRET={secrets.token_hex(32)}",
    ),
    "webhooks": (
        "WEBHOOKS_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
        f"WEBHOOKS_SECRET_KEY={secrets.token_hex(32)}",
    ),
    "history": (
        "HISTORY_DATABASE_URL=postgresql://a:b@127.0.0.1:1/a",
        "REDIS_URL=redis://127.0.0.1:1/0",
        "AMQP_URL=amqp://a:b@127.0.0.1:1/",
    ),
}


def short(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[0]


def in_image(image: str, *command: str, options: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    return run("run", "--rm", *HARDENED, *options, "--entrypoint", command[0], image, *command[1:])


@pytest.fixture(scope="module")
def each(images: list[str]) -> dict[str, str]:
    return {short(image): image for image in images}


@pytest.fixture
def started() -> Iterator[list[str]]:
    names: list[str] = []
    yield names
    for name in names:
        docker("rm", "--force", name, check=False)


def test_every_service_has_an_image(each: dict[str, str], root: Path) -> None:
    assert set(each) == {path.name for path in (root / "services").iterdir() if (path / "pyproject.toml").is_file()}


def is_alive(name: str) -> bool:
    done = run("exec", name, "python", "/app/bin/healthcheck.py")
    assert done.returncode == 0, docker("logs", name)
    return True


async def test_a_service_starts_hardened_and_keeps_trying_while_its_stores_are_away(
    each: dict[str, str], started: list[str]
) -> None:
    for service, image in each.items():
        name = f"parley-images-{service}-{uuid.uuid4().hex[:8]}"
        started.append(name)
        variables = [f"--env={variable}" for variable in UNREACHABLE.get(service, ())]
        docker("run", "--detach", f"--name={name}", *HARDENED, *variables, image)
        await eventually(partial(is_alive, name), within=240)
        assert docker("exec", name, "id", "-u").strip() == "65532"
        assert run("exec", name, "python", "/app/bin/healthcheck.py", "/ready").returncode in {0, 1}
        assert "Traceback" not in docker("logs", name)


def test_a_wrong_setting_is_refused_in_one_line(each: dict[str, str]) -> None:
    for service, image in each.items():
        variables = [f"--env={variable}" for variable in UNREACHABLE.get(service, ())]
        done = run("run", "--rm", *HARDENED, *variables, "--env=PORT=many", image)
        assert (done.returncode, len(done.stdout.splitlines())) == (MISUSED, 1), done.stdout
        assert "PORT: " in done.stdout


def test_a_missing_setting_is_named(each: dict[str, str]) -> None:
    for image in each.values():
        done = run("run", "--rm", *HARDENED, image)
        assert done.returncode == MISUSED, done.stdout
        assert re.search(r"^\w[\w-]*: \w+: is required but not set$", done.stdout, re.MULTILINE), done.stdout


def test_the_file_system_holds_nothing_that_the_service_can_change(each: dict[str, str]) -> None:
    for image in each.values():
        done = in_image(image, "python", "-c", "open('/app/x', 'w')")
        assert done.returncode != 0
        assert in_image(image, "find", "/app", "-writable", "-not", "-type", "l").stdout == ""


@pytest.mark.parametrize(
    ("service", "command"),
    [
        ("chat", ("parley", "verify")),
        ("auth", ("parley", "admin", "create-admin", "ada")),
        ("chat", ("parley", "events", "lag")),
        ("history", ("parley", "verify")),
        ("gateway", ("parley", "doctor")),
    ],
)
def test_an_operator_command_that_cannot_do_its_work_fails_with_a_reason(
    service: str, command: tuple[str, ...], each: dict[str, str]
) -> None:
    options = tuple(f"--env={variable}" for variable in UNREACHABLE[service])
    done = in_image(each[service], *command, options=options)

    assert done.returncode in {1, 2}, done.stdout
    assert done.stdout.strip()
    assert "Traceback" not in done.stdout


def test_every_image_has_the_operator_command(each: dict[str, str]) -> None:
    for image in each.values():
        done = in_image(image, "parley", "--help")
        assert done.returncode == 0, done.stdout
        assert all(name in done.stdout for name in ("verify", "events", "admin", "doctor"))


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
