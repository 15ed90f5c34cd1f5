"""Download of the pinned uv wheel with the standard library only, for a Python without pip.

Usage: fetch_uv.py PINS FOLDER
"""

import hashlib
import platform
import re
import ssl
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from pip_settings import pip_settings

TIMEOUT_SECONDS = 60.0


def wheel_address(page: str, base: str, version: str) -> str:
    """Return the URL of the wheel for this machine from a page of the simple index."""
    system = platform.machine() if sys.platform == "linux" else "unsupported"
    libc = "manylinux" if platform.libc_ver()[0] == "glibc" else "musllinux"
    for link in re.findall(r'href="([^"#]+)', page):
        name = link.rsplit("/", 1)[-1]
        if name.startswith(f"uv-{version}-") and libc in name and name.endswith(f"_{system}.whl"):
            return urllib.parse.urljoin(base, str(link))
    raise SystemExit(f"parley: the index has no wheel of uv {version} for {platform.machine()} {sys.platform}.")


def main() -> None:
    """Download the wheel to FOLDER if its digest is in PINS."""
    pins, folder = Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2])
    index = pip_settings().get("index-url")
    if not index:
        raise SystemExit("parley: this Python has no pip. Install python3-pip, or set PIP_INDEX_URL.")
    version = re.findall(r"^uv==(\S+)", pins, re.MULTILINE)[0]
    base = index.rstrip("/") + "/uv/"
    context = ssl.create_default_context(cafile=pip_settings().get("cert"))
    with urllib.request.urlopen(base, timeout=TIMEOUT_SECONDS, context=context) as response:
        address = wheel_address(response.read().decode(), response.url, version)
    with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS, context=context) as response:
        wheel = response.read()
    if f"sha256:{hashlib.sha256(wheel).hexdigest()}" not in pins:
        raise SystemExit(
            f"parley: the index serves a uv {version} that differs from the pinned one. Nothing was installed."
        )
    (folder / "uv.whl").write_bytes(wheel)


if __name__ == "__main__":
    main()
