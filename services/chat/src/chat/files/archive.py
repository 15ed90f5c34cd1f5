"""All files of a user as one tar archive, written while it is sent: at most one piece of a file is held."""

import tarfile
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson

from chat.files.model import StoredFile

MANIFEST = "files.json"
_END = bytes(2 * tarfile.BLOCKSIZE)

MAX_NAME_BYTES, MAX_SUFFIX_BYTES = 255, 16
"""The limit of Linux' file systems. Others count characters, and accept longer names."""

Content = Callable[[StoredFile], AsyncIterator[bytes]]


async def archive(files: AsyncIterator[StoredFile], content: Content) -> AsyncIterator[bytes]:
    """Yield an archive with each file as ``<id>/<name>``, and a list of them. Files that are gone are left out."""
    listed: list[dict[str, Any]] = []
    async for file in files:
        path = f"{file.id}/{_path_name(file.filename)}"
        try:
            async for piece in _member(path, file, content(file)):
                yield piece
        except FileNotFoundError:
            continue
        listed.append({
            "id": str(file.id),
            "path": path,
            "filename": file.filename,
            "media_type": file.media_type,
            "bytes": file.size,
            "sha256": file.sha256.hex(),
            "purpose": file.purpose,
            "created_at": file.created_at.isoformat(),
            "expires_at": file.expires_at.isoformat() if file.expires_at else None,
        })  # fmt: skip
    manifest = orjson.dumps({"files": listed}, option=orjson.OPT_INDENT_2)
    yield _header(MANIFEST, len(manifest)) + manifest + bytes(-len(manifest) % tarfile.BLOCKSIZE) + _END


async def _member(path: str, file: StoredFile, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a file of an archive; raises FileNotFoundError before anything of it."""
    found = await anext(pieces)
    yield _header(path, file.size, file.created_at.timestamp())
    yield found
    async for piece in pieces:
        yield piece
    yield bytes(-file.size % tarfile.BLOCKSIZE)


def _header(path: str, size: int, modified: float = 0) -> bytes:
    member = tarfile.TarInfo(path)
    member.size, member.mtime, member.mode = size, int(modified), 0o600
    return member.tobuf(tarfile.PAX_FORMAT)


def _path_name(filename: str) -> str:
    """Return the name of a file, cut before its suffix if a file system cannot have it."""
    stem, dot, suffix = filename.rpartition(".")
    end = f"{dot}{suffix}" if stem and len(suffix.encode()) <= MAX_SUFFIX_BYTES else ""
    room = MAX_NAME_BYTES - len(end.encode())
    return filename.removesuffix(end).encode()[:room].decode(errors="ignore") + end
