"""Connection settings of a running stack, for the other subcommands. Only the owner of the file can read them."""

import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from parley.config.settings import SettingsError
from parley_cli.stack import folder_lock

FILE_NAME = "connections.json"
ADMIN_URLS = "PARLEY_ADMIN_URLS"
"""The admin port of each service, as `name=URL` separated by commas; for `parley doctor`."""


def save(folder: Path, environment: Mapping[str, str]) -> None:
    """Store the settings of the stack that is about to run."""
    from parley_embedded.private_files import write_private  # not installed where the subcommands only read

    write_private(folder / FILE_NAME, json.dumps(dict(environment)))


def last_public_url(folder: Path) -> str | None:
    """Return the public URL of the last run, if it is known."""
    try:
        found = json.loads((folder / FILE_NAME).read_text()).get("PUBLIC_URL")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def use(folder: Path, environment: MutableMapping[str, str] = os.environ) -> bool:
    """Add the settings of a running stack to the environment, and return whether a stack runs.

    Variables that are already set win. Raises SettingsError when the file is missing or damaged.
    """
    found = _read(folder)
    for name, value in (found or {}).items():
        environment.setdefault(name, value)
    return found is not None


def _read(folder: Path) -> dict[str, str] | None:
    path = folder / FILE_NAME
    try:
        if not folder_lock.is_held(folder):
            return None
        found = json.loads(path.read_text())
    except OSError as error:
        raise SettingsError(
            f"Cannot read {error.filename} ({error.strerror}). Run this as the owner of {folder}."
        ) from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SettingsError(f"{path} is damaged. Restart `parley run`, which writes it anew.")
    return found
