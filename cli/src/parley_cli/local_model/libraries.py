"""Shared library of the local model that minimal systems lack: OpenMP (libgomp), from a wheel that contains it."""

import os
from collections.abc import Mapping
from pathlib import Path

from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError

LIBRARY = "libgomp.so.1"
"""The name that the dynamic linker looks for. The file in the wheel has another one."""
PACKAGE = "treelite"
PATTERN = "libgomp-*.so.*"


def find_openmp(package: str = PACKAGE) -> Path:
    """Return the library of the wheel; raise EmbeddedError when it is not installed."""
    folder = wheel_file(package)
    found = sorted(folder.with_name(f"{package}.libs").glob(PATTERN)) if folder is not None else []
    if not found:
        raise EmbeddedError(f"The package {package}, which contains {LIBRARY}, is not installed. Run make setup.")
    return found[-1]


def link_openmp(library: Path, folder: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Link the library into the folder, and return the variable with which a child process finds it there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / LIBRARY
    link.unlink(missing_ok=True)
    link.symlink_to(library)
    inherited = environment.get("LD_LIBRARY_PATH")
    return {"LD_LIBRARY_PATH": os.pathsep.join([str(folder), *([inherited] if inherited else [])])}
