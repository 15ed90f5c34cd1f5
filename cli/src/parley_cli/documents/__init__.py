"""The generated pages: each is a pure function of the code, written by `make docs` and compared by `make check`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from parley_cli.documents import asyncapi, configuration, errors, openapi

Render = Callable[[], str]

PAGES: Mapping[str, Render] = {
    "docs/errors.md": errors.page,
    "services/gateway/src/gateway/local/static/errors.html": errors.web_page,
    "docs/configuration.md": configuration.page,
    ".env.example": configuration.example,
    "services/gateway/src/gateway/local/openapi.json": openapi.merged,
    **asyncapi.PAGES,
}


def write(root: Path) -> list[str]:
    """Write the pages that differ from what the code says; returns their paths."""
    changed = outdated(root)
    for path in changed:
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(PAGES[path](), encoding="utf-8")
    return changed


def outdated(root: Path) -> list[str]:
    """Return the paths of the pages that differ from what the code says."""
    return [path for path, render in PAGES.items() if _read(root / path) != render()]


def main(arguments: list[str], root: Path) -> int:
    """Write the pages, or with `--check` only say which are out of date; returns the exit status."""
    if "--check" not in arguments:
        for path in write(root):
            sys.stdout.write(f"wrote {path}\n")
        return 0
    stale = outdated(root)
    for path in stale:
        sys.stderr.write(f"{path} is out of date: run make docs\n")
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
