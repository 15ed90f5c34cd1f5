"""Memory in bytes that an upload of 50 MiB adds to a process. Arguments: the scheme and the URL of an emulator."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator

from chat.files.model import FileLimits
from chat.files.service import FileService
from chat.files.upload_form import FileData, FileStarted, FormEvent
from chat.storage.object_storage import ObjectStorage
from chat_testing.buckets import bucket_settings
from chat_testing.files import InMemoryFileRows
from parley.ids import new_id
from parley_testing.faults.processes import peak_bytes, reset_peak
from storage_emulators.servers import BUCKET

MIB = 1_048_576
SIZE = 50 * MIB
PIECE = b"0123456789abcdef" * 4096
LIMITS = FileLimits(file_bytes=SIZE * 2, storage_bytes=SIZE * 4, count=10)


async def form(size: int) -> AsyncIterator[FormEvent]:
    """Yield the form of a file, each piece after the event loop has gone round."""
    yield FileStarted("a.txt")
    for _ in range(size // len(PIECE)):
        await asyncio.sleep(0)
        yield FileData(PIECE)


async def added(provider: str, url: str) -> int:
    """Return by how many bytes an upload raises the peak of this process."""
    storage = ObjectStorage(f"{provider}://{BUCKET}/prefix", bucket_settings(provider, url))
    service, user, pid = FileService(InMemoryFileRows(), storage), new_id(), os.getpid()
    await service.upload(user, form(MIB), limits=LIMITS, purposes=(), length=None)
    reset_peak(pid)
    before = peak_bytes(pid)
    await service.upload(user, form(SIZE), limits=LIMITS, purposes=(), length=None)
    return peak_bytes(pid) - before


if __name__ == "__main__":
    print(asyncio.run(added(*sys.argv[1:])))
