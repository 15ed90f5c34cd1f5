"""Fail if a committed file contains the host name of a package registry. Pins must work with any mirror."""

import subprocess
import sys
from pathlib import Path

# Split into labels, so that this file passes its own check.
HOSTS = tuple(
    ".".join(labels).encode()
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
    )
)


def candidate_files() -> list[Path]:
    """Return the files that are committed or would be."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return [path for name in names.split(b"\0") if name and (path := Path(name.decode())).is_file()]


def findings(path: Path) -> list[str]:
    """Return one line for each line of the file that contains the host name of a registry."""
    lines = path.read_bytes().lower().splitlines()
    return [
        f"{path}:{number}: contains the host name of a package registry, {host.decode()}. Remove it."
        for number, line in enumerate(lines, start=1)
        for host in HOSTS
        if host in line
    ]


def main() -> None:
    """Print the findings; exit with status 1 if there are any."""
    report = [line for path in candidate_files() for line in findings(path)]
    if report:
        sys.exit("\n".join(report))


if __name__ == "__main__":
    main()
