"""Objects in a local folder, S3, Google Cloud Storage or Azure, through obstore. A URL selects the place."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from chat.bucket_settings import BucketSettings
from chat.files.model import file_of_object
from chat.files.store import ObjectWriter
from chat.storage.bucket import SETTINGS_OF_SCHEMES, open_bucket
from chat.storage.object_errors import translated
from parley import times
from parley.config.settings import SettingsError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("file", *SETTINGS_OF_SCHEMES)
FOLDER = "files"
"""First part of every key. What else the folder or bucket contains is never touched."""
LOCAL_BUFFER, PART, AZURE_BLOCK = 262_144, 5_242_880, 1_048_576
"""Bytes that an upload collects: in front of a folder, for a part of a multipart upload, and for a block of Azure.

S3 and Google Cloud Storage refuse parts of less than 5 MiB; Azure takes blocks of any size.
"""
READ_SIZE = 65_536
PAGE_SIZE = 1000
_BUFFERS = {"file": LOCAL_BUFFER, "az": AZURE_BLOCK, "abfs": AZURE_BLOCK}


class ObjectStorage:
    """Objects below one URL."""

    def __init__(self, url: str, bucket: BucketSettings | None = None) -> None:
        """Raise SettingsError for a URL that names no store, and for settings of a bucket that are wrong."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise SettingsError(f"FILES_URL: must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}")
        if parts.scheme == "file" and (parts.netloc or parts.path in {"", "/"}):
            raise SettingsError("FILES_URL: must be the whole path of a folder, such as file:///var/lib/parley/files")
        self._root = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._buffer = _BUFFERS.get(parts.scheme, PART)
        self._store = (
            _open_folder(self._root) if self._root is not None else open_bucket(url, bucket or BucketSettings())
        )

    async def ping(self) -> None:
        """Ask for an object that does not exist; raises StoreFailed, whose ``status_detail`` says why."""
        with contextlib.suppress(FileNotFoundError):
            async for _ in self.read(f"{FOLDER}/ping"):
                break

    @contextlib.asynccontextmanager
    async def writing(self, key: str) -> AsyncIterator[ObjectWriter]:
        """Write an object. An exception in the context leaves none behind."""
        import obstore

        with translated("write", object_exists=True):
            writer = obstore.open_writer_async(self._store, key, buffer_size=self._buffer, max_concurrency=1)
            async with writer as opened:
                yield _Writer(opened)

    async def read(self, key: str, part: range | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of an object, or a part of them; raises FileNotFoundError before the first ones."""
        import obstore

        with translated("read"):
            found = await obstore.get_async(
                self._store, key, options={"range": (part.start, part.stop)} if part else None
            )
            async for piece in found.stream(min_chunk_size=READ_SIZE):
                yield bytes(piece)

    async def remove(self, key: str) -> None:
        """Remove an object, if it exists."""
        import obstore

        with contextlib.suppress(FileNotFoundError), translated("remove"):
            await obstore.delete_async(self._store, key)

    async def old(self, *, age: float) -> AsyncIterator[list[UUID]]:
        """Yield the files of objects that are older than ``age`` seconds, page by page."""
        import obstore

        before = times.now() - timedelta(seconds=age)
        with translated("list"):
            async for page in obstore.list(self._store, FOLDER, chunk_size=PAGE_SIZE):
                names = [entry["path"].rpartition("/")[2] for entry in page if entry["last_modified"] < before]
                found = [file_id for name in names if (file_id := file_of_object(name)) is not None]
                if found:
                    yield found

    async def remove_remains(self, *, age: float) -> None:
        """Remove what uploads of killed processes have left in a folder. Buckets have a lifecycle rule for it."""
        if self._root is not None:
            await asyncio.to_thread(_remove_remains, self._root / FOLDER, age)


class _Writer:
    """Adapter of obstore's writer."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    async def write(self, data: bytes) -> None:
        with translated("write", object_exists=True):
            await self._writer.write(data)


def _open_folder(root: Path) -> "ObjectStore":
    from obstore.store import LocalStore

    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(root)
    except (OSError, ValueError) as error:
        raise SettingsError(f"FILES_URL: the folder cannot be used: {type(error).__name__}") from None


def _remove_remains(folder: Path, age: float) -> None:
    before = time.time() - age
    for path in folder.rglob("*#*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
