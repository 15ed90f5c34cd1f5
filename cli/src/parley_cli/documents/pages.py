"""Catalogue of the generated files, and the command that writes or checks them."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from parley_cli.documents import asyncapi, clients, configuration, errors, portal
from parley_cli.documents.openapi import document as openapi

Render = Callable[[], str]

PAGES: Mapping[str, Render] = {
    "docs/errors.md": errors.page,
    "docs/configuration.md": configuration.page,
    "docs/clients.md": clients.page,
    ".env.example": configuration.example,
    "services/gateway/src/gateway/local/openapi.json": openapi.merged,
    "services/gateway/src/gateway/local/asyncapi.yaml": asyncapi.yaml_document,
    **asyncapi.PAGES,
    **portal.PAGES,
}


def write(root: Path) -> list[str]:
    """Write the files that are out of date and return their paths. Later files may be made from earlier ones."""
    changed = []
    for path, render in PAGES.items():
        target, text = root / path, render()
        if _read(target) != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def outdated(root: Path) -> list[str]:
    """Return the paths of the files that differ from the generated text."""
    return [path for path, render in PAGES.items() if _read(root / path) != render()]


def main(arguments: list[str], root: Path) -> int:
    """Write the files, or with `--check` report those that are out of date. Returns the exit status."""
    if "--check" not in arguments:
        for path in write(root):
            sys.stdout.write(f"wrote {path}\n")
        return 0
    stale = outdated(root)
    for path in stale:
        sys.stderr.write(f"{path} is out of date. Run make docs.\n")
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
