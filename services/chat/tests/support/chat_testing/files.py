"""In-memory doubles of the stores of files, and an image."""

import base64
import contextlib
import struct
import zlib
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from chat.errors import Erased
from chat.file_errors import FilesUnavailable, StorageFull
from chat.files.model import FileContent, FileLimits, StoredFile, file_of_object
from chat.files.store import ObjectWriter
from parley import times


def png(width: int = 2, height: int = 2, rest: bytes = b"") -> bytes:
    """Return an image that is all header, followed by ``rest``."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, (b"IHDR", b"IEND"), (header, b""))) + rest


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


PNG = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
"""Address with the data of an image."""


@dataclass
class _Row:
    file: StoredFile
    status: str

    @property
    def is_expired(self) -> bool:
        return self.file.expires_at is not None and self.file.expires_at <= times.now()

    @property
    def is_found(self) -> bool:
        return self.status == "ready" and not self.is_expired


@dataclass
class InMemoryFileRows:
    """A FileRows."""

    rows: dict[UUID, _Row] = field(default_factory=dict)
    erased: set[UUID] = field(default_factory=set)
    claimed: set[str] = field(default_factory=set)

    async def begin(self, file_id: UUID, user_id: UUID, filename: str, *, wanted: int, limits: FileLimits) -> int:
        if user_id in self.erased:
            raise Erased
        own = [row for row in self.rows.values() if row.file.user_id == user_id and not row.is_expired]
        used = [row.file.size for row in own if row.status != "deleted"]
        room = min(wanted, limits.storage_bytes - sum(used))
        if room < 1 or len(used) >= limits.count:
            raise StorageFull
        file = StoredFile(file_id, user_id, filename, "", room, b"", "", times.now())
        self.rows[file_id] = _Row(file, "uploading")
        return room

    async def complete(self, file_id: UUID, user_id: UUID, content: FileContent) -> StoredFile | None:
        row = self.rows.get(file_id)
        if row is None or row.status != "uploading":
            return None
        row.status = "ready"
        row.file = replace(
            row.file,
            size=content.size,
            sha256=content.sha256,
            media_type=content.media_type,
            purpose=content.purpose,
            text_tokens=content.text_tokens,
            expires_at=row.file.created_at + timedelta(seconds=content.lifetime) if content.lifetime else None,
        )
        return row.file

    async def find(self, user_id: UUID, file_ids: Collection[UUID]) -> list[StoredFile]:
        found = (self.rows.get(file_id) for file_id in file_ids)
        return [row.file for row in found if row and row.file.user_id == user_id and row.is_found]

    async def page(
        self, user_id: UUID, before: UUID | None, limit: int, *, purpose: str | None = None
    ) -> list[StoredFile]:
        own = [row.file for row in self.rows.values() if row.file.user_id == user_id and row.is_found]
        newest = sorted(own, key=lambda file: file.id, reverse=True)
        newest = [file for file in newest if purpose in (None, file.purpose)]
        return [file for file in newest if before is None or file.id < before][:limit]

    async def delete(self, user_id: UUID, file_id: UUID) -> bool:
        if not await self.find(user_id, [file_id]):
            return False
        self.rows[file_id].status = "deleted"
        return True

    async def set_text(self, file_id: UUID, *, tokens: int | None, error: str | None) -> bool:
        row = self.rows.get(file_id)
        if row is None or row.status != "ready":
            return False
        row.file = replace(row.file, text_tokens=tokens, text_error=error)
        return True

    async def abandon(self, file_id: UUID) -> None:
        if file_id in self.rows:
            self.rows[file_id].status = "deleted"

    async def erase(self, user_id: UUID) -> None:
        self.erased.add(user_id)
        for row in self.rows.values():
            if row.file.user_id == user_id:
                row.status = "deleted"

    def age(self, seconds: float) -> None:
        """Let the files that expire be older."""
        for row in self.rows.values():
            if row.file.expires_at is not None:
                row.file = replace(row.file, expires_at=row.file.expires_at - timedelta(seconds=seconds))

    async def expire(self, *, limit: int) -> int:
        found = [row for row in self.rows.values() if row.status == "ready" and row.is_expired][:limit]
        for row in found:
            row.status = "deleted"
        return len(found)

    async def removable(self, *, user_id: UUID | None, limit: int) -> Sequence[UUID]:
        late = times.now() - timedelta(hours=2)
        return [
            file_id
            for file_id, row in self.rows.items()
            if (user_id is None or row.file.user_id == user_id)
            and (row.status == "deleted" or (row.status == "uploading" and row.file.created_at < late))
        ][:limit]

    async def removed(self, file_ids: Collection[UUID]) -> None:
        for file_id in file_ids:
            if file_id in self.rows and self.rows[file_id].status != "ready":
                del self.rows[file_id]

    async def claim_run(self, name: str, interval: float) -> bool:
        found = name not in self.claimed
        self.claimed.add(name)
        return found

    async def unknown(self, file_ids: Collection[UUID]) -> set[UUID]:
        return set(file_ids) - set(self.rows)


@dataclass
class InMemoryObjects:
    """An Objects. Every object is old; all methods fail while ``unavailable``."""

    objects: dict[str, bytes] = field(default_factory=dict)
    unavailable: bool = False
    reads: list[str] = field(default_factory=list)
    """Keys of the objects that were read, in order."""

    @contextlib.asynccontextmanager
    async def writing(self, key: str) -> AsyncIterator[ObjectWriter]:
        self._require_available()
        writer = _MemoryWriter()
        yield writer
        self.objects[key] = bytes(writer.data)

    async def read(self, key: str, part: range | None = None) -> AsyncIterator[bytes]:
        self._require_available()
        self.reads.append(key)
        if key not in self.objects:
            raise FileNotFoundError
        yield self.objects[key][part.start : part.stop] if part else self.objects[key]

    async def remove(self, key: str) -> None:
        self._require_available()
        self.objects.pop(key, None)

    async def old(self, *, age: float) -> AsyncIterator[list[UUID]]:
        self._require_available()
        names = [file_of_object(key.rpartition("/")[2]) for key in self.objects]
        yield [file_id for file_id in names if file_id is not None]

    async def remove_remains(self, *, age: float) -> None:
        self._require_available()

    def _require_available(self) -> None:
        if self.unavailable:
            raise FilesUnavailable


class _MemoryWriter:
    def __init__(self) -> None:
        self.data = bytearray()

    async def write(self, data: bytes) -> None:
        self.data += data
