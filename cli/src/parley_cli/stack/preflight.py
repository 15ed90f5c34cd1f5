"""Preflight checks of this machine. `parley doctor` reports them all; `parley run` stops at the first failure."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from parley.config.settings import SettingsError
from parley.config.sources import configured_variables
from parley_cli.local_model.process import require_installed
from parley_cli.settings import LocalSettings
from parley_cli.stack import folder_lock
from parley_cli.stack.encryption_key import require_key
from parley_cli.stack.ports import StackPorts, require_free
from parley_cli.stack.refused_settings import require_known, require_obeyed
from parley_embedded.errors import EmbeddedError, explain
from parley_embedded.postgres.programs import postgres_program

REQUIRED_BYTES = 300_000_000
"""Space for a new database, its write-ahead log and a day of data."""
REQUIRED_CPU_FLAGS = ("avx2", "fma", "f16c")
"""CPU features that the local model's x86-64 build uses."""
CPU_INFO = Path("/proc/cpuinfo")

FreeBytes = Callable[[Path], int]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of one check. ``problem`` is None when the check passed."""

    name: str
    problem: str | None


def free_bytes(folder: Path) -> int:
    """Return the bytes that an unprivileged user can still write to the folder's file system."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, free: FreeBytes = free_bytes) -> None:
    """Raise EmbeddedError when the disk is nearly full."""
    found = free(folder)
    if found < REQUIRED_BYTES:
        raise EmbeddedError(
            f"Only {found // 1_000_000} MB are free where {folder} is; {REQUIRED_BYTES // 1_000_000} MB are required. "
            "Free some space, or set PARLEY_DATA_DIR to a folder on another disk."
        )


def require_own(folder: Path, uid: int | None = None) -> None:
    """Raise EmbeddedError when the data folder, or what `sudo` left in it, belongs to another user."""
    me = os.getuid() if uid is None else uid
    # Root can read every file, and runs PostgreSQL as another user where it must.
    contents = () if me == 0 else (*folder.glob("*"), *folder.glob("*/*"))
    for path in (folder, *contents):
        owner = path.lstat().st_uid
        if owner != me:
            raise EmbeddedError(
                f"{path} belongs to user ID {owner}; the current user ID is {me}. "
                f"Run as that user, or change the owner: chown -R {me} {folder}"
            )


def require_platform(system: str = platform.system(), machine: str = platform.machine()) -> None:
    """Raise EmbeddedError on a platform without binaries."""
    if system != "Linux" or machine not in {"x86_64", "aarch64"}:
        raise EmbeddedError(
            f"The embedded servers run on Linux x86_64 and aarch64; this is {system} {machine}. "
            "Use Docker Compose, or set DATABASE_URL, REDIS_URL and OPENAI_BASE_URL."
        )


def require_cpu(cpu_info: Path = CPU_INFO, machine: str = platform.machine()) -> None:
    """Raise EmbeddedError when the CPU lacks a feature that the local model uses."""
    if machine != "x86_64" or not cpu_info.exists():
        return
    flags = set(cpu_info.read_text().split())
    missing = [flag for flag in REQUIRED_CPU_FLAGS if flag not in flags]
    if missing:
        raise EmbeddedError(
            f"This CPU lacks {', '.join(missing)}, which the local model requires. "
            "Set OPENAI_BASE_URL or OPENAI_API_KEY to use another model."
        )


def _require_settings(settings: LocalSettings) -> None:
    variables = configured_variables()
    require_known(variables)
    require_obeyed(settings, variables)


def check_all(settings: LocalSettings, ports: StackPorts) -> Iterator[CheckResult]:
    """Check everything that `parley run` needs, without starting or changing anything."""
    folder = settings.data_dir.absolute()
    yield _check("platform", require_platform)
    yield _check("settings", lambda: _require_settings(settings))
    if settings.database_url is None:
        yield _check("PostgreSQL", lambda: postgres_program("postgres"))
    if not settings.has_provider():
        yield _check("CPU", require_cpu)
        yield _check("local model", require_installed)
    yield _check("disk", lambda: require_space(folder))
    if folder.exists():
        yield _check("data folder", lambda: require_own(folder))
        yield _check("secret key", lambda: require_key(folder))
    lock = _check("lock", lambda: _require_stopped(folder))
    if lock.problem is not None:
        yield lock
    else:
        yield _check("ports", lambda: require_free(ports))


def _require_stopped(folder: Path) -> None:
    if folder_lock.is_held(folder):
        raise EmbeddedError(folder_lock.in_use_message(folder))


def _check(name: str, require: Callable[[], object]) -> CheckResult:
    try:
        require()
    except (EmbeddedError, SettingsError) as error:
        return CheckResult(name, str(error))
    except OSError as error:
        return CheckResult(name, explain(error))
    return CheckResult(name, None)
