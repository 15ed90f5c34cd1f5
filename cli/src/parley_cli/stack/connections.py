"""Connection settings of a running stack, for the other subcommands. Only the owner of the file can read them."""

import json
import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from parley_cli.stack import folder_lock

FILE_NAME = "connections.json"


def save(folder: Path, environment: Mapping[str, str]) -> None:
    """Store the settings of the stack that is about to run."""
    from parley_embedded.secret_files import write_private  # not installed where the subcommands only read

    write_private(folder / FILE_NAME, json.dumps(dict(environment)))


def use(folder: Path, environment: MutableMapping[str, str] = os.environ) -> None:
    """Add the settings of a running stack to the environment. Variables that are already set win."""
    if not folder_lock.is_held(folder):
        return
    for name, value in json.loads((folder / FILE_NAME).read_text()).items():
        environment.setdefault(name, value)
