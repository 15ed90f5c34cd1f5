"""How commands reach the stack that runs in a folder: its settings, kept where only their owner can read them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from parley_cli.stack import folder_lock
from parley_embedded.secret_files import write_private

NAME = "connections.json"


def keep(folder: Path, environment: Mapping[str, str]) -> None:
    """Write down the settings of the stack that is about to run."""
    write_private(folder / NAME, json.dumps(dict(environment)))


def use(folder: Path) -> None:
    """Put the settings of a running stack into the environment, where nobody has set them."""
    if not folder_lock.is_held(folder):
        return
    for name, value in json.loads((folder / NAME).read_text()).items():
        os.environ.setdefault(name, value)
