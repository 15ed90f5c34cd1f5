"""Removal of objects that nothing needs: those of deleted files, of abandoned uploads, and those without a row."""

import asyncio
import random
import time
from uuid import UUID

import structlog

from chat.files.model import object_key, text_key
from chat.files.store import FileRows, Objects
from parley.process.loop_steps import run_step

log = structlog.get_logger()

INTERVAL = 300.0
"""Seconds between two runs."""
BATCH = 100
ORPHAN_AGE = 7 * 86_400.0
"""Seconds after which an object without a row is removed. A restored backup may bring a row back until then."""
REMAINS_AGE = 86_400.0
"""Seconds after which the temporary file of an upload is removed. It is longer than any upload takes."""
SWEEP_NAME, SWEEP_INTERVAL = "orphaned objects", 86_400.0
"""The task that compares all objects with the rows, and the seconds between two runs of it."""
SWEEP_ATTEMPT_INTERVAL = 3600.0
"""Seconds after which a replica tries again to claim a run of it."""


class FileCollector:
    """Runs periodically on every replica. Concurrent runs do no harm. One replica lists all objects once a day."""

    def __init__(self, rows: FileRows, objects: Objects | None) -> None:
        """``objects`` is None while files are not offered: existing files are hidden then, and their objects stay."""
        self._rows, self._objects = rows, objects
        self._sweep_at = time.monotonic() + random.uniform(0, SWEEP_ATTEMPT_INTERVAL)  # noqa: S311 - jitter

    async def run(self) -> None:
        """Collect at each interval until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            await run_step("expired files", self.delete_expired)
            await run_step("deleted files", self.remove_deleted)
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + SWEEP_ATTEMPT_INTERVAL
                await run_step("orphaned objects", self.remove_orphans_if_due)

    async def erase(self, user_id: UUID) -> None:
        """Remove every file of a user, and refuse new ones; raises DependencyUnavailable until that is done."""
        await self._rows.erase(user_id)
        await self.remove_deleted(user_id)

    async def delete_expired(self) -> None:
        """Delete the files that have expired. They are hidden from that moment on, also before this."""
        while await self._rows.expire(limit=BATCH):
            pass

    async def remove_deleted(self, user_id: UUID | None = None) -> None:
        """Remove the objects of deleted files and abandoned uploads, then their rows. Of one user: all at once."""
        while self._objects is not None and (found := await self._rows.removable(user_id=user_id, limit=BATCH)):
            for file_id in found:
                await remove_objects(self._objects, file_id)
            await self._rows.removed(found)

    async def remove_orphans_if_due(self) -> None:
        """Remove orphans, unless a replica has begun to within a day: each run lists all objects."""
        if self._objects is not None and await self._rows.claim_run(SWEEP_NAME, SWEEP_INTERVAL):
            await self.remove_orphans()

    async def remove_orphans(self) -> None:
        """Remove objects that no row knows, and temporary files."""
        if self._objects is None:
            return
        await self._objects.remove_remains(age=REMAINS_AGE)
        async for page in self._objects.old(age=ORPHAN_AGE):
            for file_id in await self._rows.unknown(page):
                log.warning("orphaned_object_removed", file_id=str(file_id))
                await remove_objects(self._objects, file_id)


async def remove_objects(objects: Objects, file_id: UUID) -> None:
    """Remove the objects of a file: its text and, at last, itself; raises FilesUnavailable."""
    await objects.remove(text_key(file_id))
    await objects.remove(object_key(file_id))
