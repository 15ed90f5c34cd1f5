"""Compare the sources of the console with those that its built files were made from, without building it.

`--write [FOLDER]` records the sources in the folder of the built files.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "console"
BUILT = ROOT / "services/gateway/src/gateway/local/console"
RECORD = "sources.sha256"
FILES = ("index.html", "package-lock.json", "vite.config.ts")
FOLDERS = ("src", "client/src")
TYPES_ONLY = "schema.d.ts"
"""The types of the API, which leave no trace in the built files."""


def sources() -> Iterator[Path]:
    """Yield the files that determine the built files, in a fixed order."""
    yield from (SOURCES / name for name in FILES)
    for folder in FOLDERS:
        yield from sorted(path for path in (SOURCES / folder).rglob("*") if path.is_file() and path.name != TYPES_ONLY)


def digest() -> str:
    """Return a digest of the names and contents of the sources."""
    found = hashlib.sha256()
    for path in sources():
        found.update(path.relative_to(SOURCES).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest() + "\n"


def main(arguments: list[str]) -> int:
    """Check, or write with `--write`; return the exit status."""
    if arguments[:1] == ["--write"]:
        folder = Path(arguments[1]) if len(arguments) > 1 else BUILT
        (folder / RECORD).write_text(digest())
        return 0
    record = BUILT / RECORD
    if not record.is_file() or record.read_text() != digest():
        print("console: the built files were made from other sources: run make console")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
