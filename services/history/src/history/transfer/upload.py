"""Upload of an import file: kept in a temporary file, so that memory use does not depend on its size."""

import contextlib
import hashlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import IO

import structlog

from parley.errors import Overloaded
from parley.process.worker_thread import WorkerThread

log = structlog.get_logger()

MAX_BYTES_IN_MEMORY = 1_048_576
"""Bytes of a file that are kept in memory. A larger file is written to the folder for temporary files."""
CHUNK_SIZE = 65_536
"""Bytes that are written or read at a time."""


class Upload:
    """A file, and its digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 digest of the file."""
        return self._digest.digest()

    async def receive(self, body: AsyncIterator[bytes], worker: WorkerThread) -> None:
        """Write a body to the file; raises Overloaded when there is no room for it."""
        waiting = bytearray()
        try:
            async for part in body:
                waiting += part
                if len(waiting) >= CHUNK_SIZE:
                    await worker.run(self._append, bytes(waiting))
                    waiting.clear()
            await worker.run(self._append, bytes(waiting))
        except OSError as error:
            log.warning("import_not_stored", reason=str(error))
            raise Overloaded("The file cannot be stored. Try again later.") from None

    def _append(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)

    def chunks(self) -> Iterator[bytes]:
        """Yield the file from its beginning."""
        self._file.seek(0)
        while chunk := self._file.read(CHUNK_SIZE):
            yield chunk


@contextlib.contextmanager
def open_upload() -> Iterator[Upload]:
    """Return an empty file that exists until the end of the context."""
    with tempfile.SpooledTemporaryFile(MAX_BYTES_IN_MEMORY) as file:
        yield Upload(file)
