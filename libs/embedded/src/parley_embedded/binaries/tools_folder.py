"""Folder in which downloaded programs are kept between runs."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

WORKSPACE_MARKER = "[tool.uv.workspace]"


def tools_folder(start: Path, environment: Mapping[str, str]) -> Path:
    """Return the folder for downloaded programs.

    `PARLEY_TOOLS` wins. Otherwise the result is the first writable folder of: the clone's `.tools`, the user's cache, a
    temporary folder.
    """
    if environment.get("PARLEY_TOOLS"):
        return Path(environment["PARLEY_TOOLS"])
    return next(folder for folder in _candidates(start, environment) if _is_writable(folder))


def _candidates(start: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    root = workspace_root(start)
    if root is not None:
        yield root / ".tools"
    if environment.get("XDG_CACHE_HOME"):
        yield Path(environment["XDG_CACHE_HOME"]) / "parley"
    if environment.get("HOME"):
        yield Path(environment["HOME"]) / ".cache" / "parley"
    yield Path(tempfile.gettempdir()) / f"parley-tools-{os.geteuid()}"
    yield Path(tempfile.mkdtemp(prefix="parley-tools-"))


def workspace_root(start: Path) -> Path | None:
    """Return the root folder of the clone that contains `start`; None outside a clone."""
    for folder in (start, *start.parents):
        project = folder / "pyproject.toml"
        if project.is_file() and WORKSPACE_MARKER in project.read_text(encoding="utf-8"):
            return folder
    return None


def _is_writable(folder: Path) -> bool:
    # The folder may not exist yet: the first download creates it.
    if os.path.lexists(folder):
        return folder.lstat().st_uid == os.geteuid() and os.access(folder, os.W_OK | os.X_OK)
    existing = next(parent for parent in folder.parents if os.path.lexists(parent))
    return os.access(existing, os.W_OK | os.X_OK)
