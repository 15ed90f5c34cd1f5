"""Error of the embedded servers, and the explanation of an operating system error."""

import errno
import os
from pathlib import Path

_OTHER_FOLDER = "or set PARLEY_DATA_DIR to another folder."
_MORE_SPACE = f"Free some space on that disk, {_OTHER_FOLDER}"
_OTHER_OWNER = f"Change its owner or mode, run as its owner, {_OTHER_FOLDER}"
_WRONG_KIND = "Another kind of file has that name. Move it away and start again."
_MORE_FILES = "Raise the limit of open files, for example: ulimit -n 4096."
_REMEDIES = {
    errno.ENOSPC: _MORE_SPACE,
    errno.EDQUOT: _MORE_SPACE,
    errno.EFBIG: "Raise the limit of the size of a file (ulimit -f).",
    errno.EROFS: f"Make the file system writable, {_OTHER_FOLDER}",
    errno.EACCES: _OTHER_OWNER,
    errno.EPERM: _OTHER_OWNER,
    errno.EISDIR: _WRONG_KIND,
    errno.ENOTDIR: _WRONG_KIND,
    errno.EEXIST: _WRONG_KIND,
    errno.ELOOP: _WRONG_KIND,
    errno.ENXIO: _WRONG_KIND,
    errno.EIO: f"Check the disk, {_OTHER_FOLDER}",
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: _MORE_FILES,
}


class EmbeddedError(Exception):
    """A server cannot run. The message is one line: what happened, and what to do."""


def remedy_for(output: str, default: str) -> str:
    """Return what to do when the output of a program names a full, read-only or broken disk; else the default."""
    named = (
        _REMEDIES[code] for code in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO) if os.strerror(code) in output
    )
    return next(named, default)


def explain(error: OSError, path: Path | None = None) -> str:
    """Return one line: the path (of the error, else `path`), what happened, and what to do."""
    if error.errno is None:
        return str(error) or type(error).__name__
    name = error.filename2 or error.filename or path
    where = f"Cannot use {name}" if name is not None else "The operating system reports an error"
    return f"{where}: {error.strerror}. {_REMEDIES.get(error.errno, '')}".strip()
