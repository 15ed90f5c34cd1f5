"""Preflight checks and `parley doctor`."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from parley_cli.settings import LocalSettings
from parley_cli.stack import folder_lock, preflight
from parley_cli.stack.ports import StackPorts, require_free
from parley_embedded.errors import EmbeddedError
from parley_testing.stacks.commands import free_ports


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def problems(folder: Path, ports: StackPorts | None = None, **settings: str) -> dict[str, str]:
    local = LocalSettings(data_dir=folder, **settings)  # type: ignore[arg-type]
    found = preflight.check_all(local, ports or StackPorts(free_ports(), free_ports()))
    return {result.name: result.problem for result in found if result.problem}


def test_a_suitable_machine_passes_every_check(tmp_path: Path) -> None:
    assert problems(tmp_path) == {}


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_misspelt_setting_of_any_service_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if place == "environment":
        monkeypatch.setenv("RATE_LIMIT_REQESTS", "5")
    else:
        Path(".env").write_text("RATE_LIMIT_REQESTS=5\n", encoding="utf-8")
    found = problems(tmp_path)
    assert found == {"settings": "RATE_LIMIT_REQESTS: unknown setting; did you mean RATE_LIMIT_REQUESTS?"}


def test_the_doctor_changes_nothing(tmp_path: Path) -> None:
    problems(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_named_with_the_option_to_change_it(tmp_path: Path, busy_port: int) -> None:
    found = problems(tmp_path, StackPorts(busy_port, free_ports()))
    assert list(found) == ["ports"]
    assert str(busy_port) in found["ports"]
    assert "--port" in found["ports"]


def test_a_stack_does_not_start_on_a_port_in_use(busy_port: int) -> None:
    with pytest.raises(EmbeddedError, match=str(busy_port)):
        require_free(StackPorts(free_ports(), busy_port))


def test_a_running_stack_is_reported(tmp_path: Path) -> None:
    with folder_lock.hold(tmp_path):
        found = problems(tmp_path)
    assert list(found) == ["lock"]
    assert str(os.getpid()) in found["lock"]


def test_a_full_disk_is_reported_with_the_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match=r"Only 12 MB are free.*PARLEY_DATA_DIR"):
        preflight.require_space(tmp_path, free=lambda _folder: 12_000_000)


def test_a_folder_of_another_user_is_reported_with_chown(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="chown"):
        preflight.require_own(tmp_path, uid=os.getuid() + 1)


@pytest.mark.parametrize(("system", "machine"), [("Darwin", "arm64"), ("Linux", "riscv64")])
def test_a_platform_without_binaries_is_reported_with_the_alternative(system: str, machine: str) -> None:
    with pytest.raises(EmbeddedError, match=f"{system} {machine}.*DATABASE_URL"):
        preflight.require_platform(system, machine)


def test_a_cpu_without_required_features_is_reported_with_the_alternative(tmp_path: Path) -> None:
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text("flags : fpu sse sse2 ssse3 sse4_1 avx\n")
    with pytest.raises(EmbeddedError, match=r"avx2.*OPENAI_BASE_URL"):
        preflight.require_cpu(cpu_info, "x86_64")


def test_a_configured_provider_skips_the_checks_of_the_local_model(tmp_path: Path) -> None:
    settings = LocalSettings(data_dir=tmp_path, openai_base_url="http://localhost:1/v1")
    assert "local model" not in [
        result.name for result in preflight.check_all(settings, StackPorts(free_ports(), free_ports()))
    ]


def test_the_doctor_prints_a_failed_check_and_exits_with_status_1(tmp_path: Path, busy_port: int) -> None:
    command = [sys.executable, "-c", "from parley_cli.main import app; app()", "doctor"]
    arguments = ["--port", str(busy_port), "--admin-port", str(free_ports()), "--data-dir", str(tmp_path)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("FAIL")] == [
        next(line for line in done.stdout.splitlines() if str(busy_port) in line)
    ]
