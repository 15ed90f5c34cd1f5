"""Objects in a local folder, S3, Google Cloud Storage or Azure, through obstore. A URL selects the place."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from chat.file_errors import FilesUnavailable
from chat.files.model import file_of_object
from chat.files.store import ObjectWriter
from parley import times
from parley.config.settings import SettingsError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SCHEMES = ("file", "s3", "gs", "az", "abfs")
FOLDER = "files"
"""First part of every key. What else the folder or bucket contains is never touched."""
LOCAL_BUFFER, PART = 262_144, 5_242_880
"""Bytes that an upload holds: in front of a folder, and for a part of a bucket's multipart upload (at least 5 MiB)."""
READ_SIZE = 65_536
CONNECT_TIMEOUT, READ_TIMEOUT, RETRY_TIMEOUT = timedelta(seconds=5), timedelta(seconds=30), timedelta(seconds=20)
REQUEST_TIMEOUT = timedelta(hours=1)
"""A download takes as long as its client."""
MAX_RETRIES = 2
PAGE_SIZE = 1000


class ObjectStorage:
    """Objects below one URL."""

    def __init__(self, url: str) -> None:
        """Raise SettingsError for a URL that names no store."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise SettingsError(f"FILES_URL: must begin with one of {', '.join(f'{name}://' for name in SCHEMES)}")
        if parts.scheme == "file" and (parts.netloc or parts.path in {"", "/"}):
            raise SettingsError("FILES_URL: must be the whole path of a folder, such as file:///var/lib/parley/files")
        self._root = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._buffer = PART if self._root is None else LOCAL_BUFFER
        self._store = _open_bucket(url) if self._root is None else _open_folder(self._root)

    @contextlib.asynccontextmanager
    async def writing(self, key: str) -> AsyncIterator[ObjectWriter]:
        """Write an object. An exception in the context leaves none behind."""
        import obstore

        with _translated():
            writer = obstore.open_writer_async(self._store, key, buffer_size=self._buffer, max_concurrency=1)
            async with writer as opened:
                yield _Writer(opened)

    async def read(self, key: str, part: range | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of an object, or a part of them; raises FileNotFoundError before the first ones."""
        import obstore

        with _translated():
            found = await obstore.get_async(
                self._store, key, options={"range": (part.start, part.stop)} if part else None
            )
            async for piece in found.stream(min_chunk_size=READ_SIZE):
                yield bytes(piece)

    async def remove(self, key: str) -> None:
        """Remove an object, if it exists."""
        import obstore

        with contextlib.suppress(FileNotFoundError), _translated():
            await obstore.delete_async(self._store, key)

    async def old(self, *, age: float) -> AsyncIterator[list[UUID]]:
        """Yield the files of objects that are older than ``age`` seconds, page by page."""
        import obstore

        before = times.now() - timedelta(seconds=age)
        with _translated():
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
        with _translated():
            await self._writer.write(data)


def _open_folder(root: Path) -> "ObjectStore":
    from obstore.store import LocalStore

    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return LocalStore(root)
    except (OSError, ValueError) as error:
        raise SettingsError(f"FILES_URL: the folder cannot be used: {type(error).__name__}") from None


def _open_bucket(url: str) -> "ObjectStore":
    """Open a bucket. Its credentials are those that the provider's own tools use, such as AWS_ACCESS_KEY_ID."""
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    timeouts = {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT, "timeout": REQUEST_TIMEOUT}
    client: Any = {**timeouts, "allow_http": True}
    retries: Any = {"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT}
    try:
        return from_url(url, client_options=client, retry_config=retries)
    except (BaseError, ValueError) as error:
        raise SettingsError(f"FILES_URL: the bucket cannot be used: {type(error).__name__}") from None


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Raise FilesUnavailable for errors of the store, except for an object that does not exist."""
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise FilesUnavailable from error


def _remove_remains(folder: Path, age: float) -> None:
    before = time.time() - age
    for path in folder.rglob("*#*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
