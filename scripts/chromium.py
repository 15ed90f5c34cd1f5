"""Print the path of a Chromium: that of CHROMIUM, an installed one, or Debian's, unpacked into `.tools`."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

from parley_embedded.binaries.debian import library_folders, unpack_debian
from parley_embedded.binaries.tools_folder import tools_folder
from parley_embedded.errors import EmbeddedError

TOOLS = tools_folder(Path(__file__).resolve().parent, os.environ)
PACKAGES = ("chromium", "chromium-common")
HINT = "Install it (Debian: apt-get install chromium), or set CHROMIUM."
LAUNCHER = """\
#!/bin/sh
root=$(dirname -- "$(readlink -f -- "$0")")
[ -e /etc/fonts/fonts.conf ] || export FONTCONFIG_SYSROOT="$root"
LD_LIBRARY_PATH="{libraries}" exec "$root/usr/lib/chromium/chromium" "$@"
"""


async def find() -> Path:
    """Return the path; raises EmbeddedError."""
    chosen = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chosen is not None:
        if shutil.which(chosen) is None:
            raise EmbeddedError(f"There is no browser at {chosen}. {HINT}")
        return Path(chosen)
    return await unpack_debian("chromium", PACKAGES, TOOLS, hint=HINT, finish=write_launcher) / "launch"


def write_launcher(root: Path) -> None:
    """Write a script that starts the unpacked Chromium with the libraries beside it."""
    libraries = ":".join(f"$root/{folder.relative_to(root)}" for folder in library_folders(root))
    launcher = root / "launch"
    launcher.write_text(LAUNCHER.format(libraries=libraries))
    launcher.chmod(0o755)


def main() -> int:
    """Print the path, or why there is none; return the exit status."""
    try:
        print(asyncio.run(find()))
    except EmbeddedError as error:
        print(f"test-browser: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
