"""Interfaces of the stores: rows of files, and objects with their bytes."""

import contextlib
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol
from uuid import UUID

from chat.files.model import FileContent, FileLimits, StoredFile


class FileRows(Protocol):
    """Rows of files. Only complete files that have not expired are found. Every method raises DependencyUnavailable."""

    async def begin(self, file_id: UUID, user_id: UUID, filename: str, *, wanted: int, limits: FileLimits) -> int:
        """Reserve room for an upload and return its bytes: at most ``wanted``.

        Raises StorageFull, and Erased for an account that was erased.
        """
        ...

    async def complete(self, file_id: UUID, user_id: UUID, content: FileContent) -> StoredFile | None:
        """Make an upload a file; None if it is no longer expected, such as after an erasure."""
        ...

    async def find(self, user_id: UUID, file_ids: Collection[UUID]) -> list[StoredFile]:
        """Return those of the files that belong to the user."""
        ...

    async def page(
        self, user_id: UUID, before: UUID | None, limit: int, *, purpose: str | None = None
    ) -> list[StoredFile]:
        """Return a user's files, newest first; with a ``purpose``, those of it."""
        ...

    async def delete(self, user_id: UUID, file_id: UUID) -> bool:
        """Hide a file of the user and free its room; False if there is none. Its object is still to be removed."""
        ...

    async def abandon(self, file_id: UUID) -> None:
        """Give up an upload, also one whose completion was not confirmed. Its object is still to be removed."""
        ...

    async def erase(self, user_id: UUID) -> None:
        """Hide every file and upload of a user, and refuse new ones."""
        ...

    async def set_text(self, file_id: UUID, *, tokens: int | None, error: str | None) -> bool:
        """Store what is known of a file's text; False if the file is gone."""
        ...

    async def expire(self, *, limit: int) -> int:
        """Delete at most ``limit`` files whose time is over; returns how many. Their objects stay to be removed."""
        ...

    async def removable(self, *, user_id: UUID | None, limit: int) -> Sequence[UUID]:
        """Return files and uploads, of one user or of all, whose objects are to be removed."""
        ...

    async def removed(self, file_ids: Collection[UUID]) -> None:
        """Remove the rows of files whose objects are gone."""
        ...

    async def claim_run(self, name: str, interval: float) -> bool:
        """Return whether the caller runs a task that no replica has begun within ``interval`` seconds."""
        ...

    async def unknown(self, file_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the files that have no row."""
        ...


class ObjectWriter(Protocol):
    """An object that is being written. It exists once its context has ended without an exception."""

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        ...


class Objects(Protocol):
    """Objects by key. Every method raises FilesUnavailable."""

    def writing(self, key: str) -> contextlib.AbstractAsyncContextManager[ObjectWriter]:
        """Write an object. An exception in the context leaves none behind."""
        ...

    def read(self, key: str, part: range | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes of an object, or a part of them; raises FileNotFoundError before the first ones."""
        ...

    async def remove(self, key: str) -> None:
        """Remove an object, if it exists."""
        ...

    def old(self, *, age: float) -> AsyncIterator[list[UUID]]:
        """Yield the files of objects that are older than ``age`` seconds, page by page."""
        ...

    async def remove_remains(self, *, age: float) -> None:
        """Remove what uploads of killed processes have left, older than ``age`` seconds."""
        ...
