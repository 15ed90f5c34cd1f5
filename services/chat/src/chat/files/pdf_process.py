"""Text of a PDF, read in a process of its own, which has no secrets and limits of time and memory.

The PDF comes on standard input, its text goes to standard output, and the exit status is a ``Status``.
"""

import contextlib
import io
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path

MAX_PDF_BYTES = 16_777_216
"""Bytes of a PDF whose text is read."""
MAX_PAGES = 5000
MAX_TEXT_BYTES = 1_048_576
"""Bytes of the text of a file. The rest is cut off."""
MAX_CPU_SECONDS = 10
"""CPU seconds for a PDF. After half of them, no more pages are read: the text of the pages so far is used."""
MAX_MEMORY = 268_435_456
"""Bytes of address space."""
MAX_OPEN_FILES = 32
NICENESS = 10
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Status(IntEnum):
    """How the reading of a PDF ended. Other numbers and signals mean that the process failed."""

    COMPLETE = 0
    CUT = 10
    ENCRYPTED = 11
    NO_TEXT = 12
    TOO_LONG = 13
    UNREADABLE = 14


def main() -> int:
    """Read a PDF and write its text; returns the exit status."""
    limit_resources()
    data = sys.stdin.buffer.read(MAX_PDF_BYTES + 1)
    if len(data) > MAX_PDF_BYTES:
        return Status.TOO_LONG
    try:
        return _write_text(data)
    except MemoryError:
        return Status.TOO_LONG


def limit_resources() -> None:
    """Limit this process. The kernel ends it at the limit of CPU time, and before others when memory is short."""
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # sandboxes without this file
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    limits = {
        resource.RLIMIT_AS: MAX_MEMORY,
        resource.RLIMIT_CPU: MAX_CPU_SECONDS,
        resource.RLIMIT_NOFILE: MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _write_text(data: bytes) -> Status:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return Status.ENCRYPTED
        if len(reader.pages) > MAX_PAGES:
            return Status.TOO_LONG
        return write_pages(_texts(reader))
    except (DependencyError, FileNotDecryptedError):
        return Status.ENCRYPTED
    except LimitReachedError:
        return Status.TOO_LONG
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - a damaged PDF raises errors of every kind
        return Status.UNREADABLE


def _texts(reader: "PdfReader") -> Iterator[str | None]:  # type: ignore[name-defined] # noqa: F821
    """Yield the texts of the pages; None for a page that cannot be read."""
    for page in reader.pages:
        try:
            yield _CONTROLS.sub("", page.extract_text()).strip()
        except (MemoryError, RecursionError):
            raise
        except Exception:  # noqa: BLE001 - the other pages can be read
            yield None


def write_pages(pages: Iterator[str | None]) -> Status:
    """Write the texts of pages, None for a page that cannot be read, until the text is too long or takes too long."""
    room, failed = MAX_TEXT_BYTES, False
    for text in pages:
        failed = failed or text is None
        if not text:
            continue
        found = text.encode() if room == MAX_TEXT_BYTES else b"\n\n" + text.encode()
        sys.stdout.buffer.write(found[:room])
        room -= len(found)
        if room < 0 or time.process_time() > MAX_CPU_SECONDS / 2:
            return Status.CUT
    if room < MAX_TEXT_BYTES:
        return Status.COMPLETE
    return Status.UNREADABLE if failed else Status.NO_TEXT


if __name__ == "__main__":
    sys.exit(main())
