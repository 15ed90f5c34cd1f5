"""Rows of files in Postgres. The row of the account is the lock of a user's files: two uploads never share one room."""

from collections.abc import Collection, Sequence
from dataclasses import fields
from uuid import UUID

from chat.errors import Erased
from chat.file_errors import StorageFull
from chat.files.model import FileContent, FileLimits, StoredFile
from chat.files.service import UPLOAD_TIMEOUT
from chat.storage.claimed_runs import CLAIM_RUN
from parley.storage.database import PostgresDatabase, Row

_UNEXPIRED = "(expires_at IS NULL OR expires_at > now())"
_LOCK_OWNER = """
INSERT INTO accounts AS a (user_id) VALUES ($1)
ON CONFLICT (user_id) DO UPDATE SET last_turn_at = a.last_turn_at WHERE a.erased_at IS NULL
RETURNING 1"""
_USE = f"""
SELECT count(*), coalesce(sum(size), 0)::bigint FROM files
WHERE user_id = $1 AND status <> 'deleted' AND {_UNEXPIRED}"""  # noqa: S608 - only a constant is interpolated
_BEGIN = "INSERT INTO files (id, user_id, filename, size) VALUES ($1, $2, $3, $4)"
_COMPLETE = """
UPDATE files SET status = 'ready', size = $3, sha256 = $4, media_type = $5, purpose = $6, text_tokens = $7,
    expires_at = created_at + make_interval(secs => $8)
WHERE id = $1 AND user_id = $2 AND status = 'uploading' RETURNING *"""
_FIND = f"""
SELECT * FROM files
WHERE user_id = $1 AND id = ANY ($2::uuid[]) AND status = 'ready' AND {_UNEXPIRED}"""  # noqa: S608 - only a constant is interpolated
# A position that is never NULL, because a generic plan has no index for "$2 IS NULL OR …". CASE, because Postgres would
# expect few files of "$4 IS NULL OR …", and sort all: see docs/query-plans.md.
_PAGE = f"""
SELECT * FROM files
WHERE user_id = $1 AND id < coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') AND status = 'ready'
    AND {_UNEXPIRED}
    AND CASE WHEN $4::text IS NULL THEN true ELSE purpose = $4 END
ORDER BY id DESC LIMIT $3"""  # noqa: S608 - only a constant is interpolated
_DELETE = f"""
UPDATE files SET status = 'deleted', filename = ''
WHERE id = $2 AND user_id = $1 AND status = 'ready' AND {_UNEXPIRED}"""  # noqa: S608 - only a constant is interpolated
_SET_TEXT = "UPDATE files SET text_tokens = $2, text_error = $3 WHERE id = $1 AND status = 'ready'"
_ABANDON = "UPDATE files SET status = 'deleted', filename = '' WHERE id = $1 AND status <> 'deleted'"
_ERASE_ACCOUNT = """
INSERT INTO accounts AS a (user_id, erased_at) VALUES ($1, now())
ON CONFLICT (user_id) DO UPDATE SET erased_at = coalesce(a.erased_at, excluded.erased_at)"""
_ERASE = """
WITH locked AS (
    SELECT id FROM files WHERE user_id = $1 AND status <> 'deleted' ORDER BY id FOR NO KEY UPDATE
)
UPDATE files AS f SET status = 'deleted', filename = '' FROM locked WHERE f.id = locked.id"""
_PURGE_EXPIRED = """
UPDATE files SET status = 'deleted', filename = '' WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM files WHERE status = 'ready' AND expires_at <= now()
    ORDER BY expires_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED
))"""
_REMOVABLE = """
SELECT id FROM files
WHERE status <> 'ready' AND (status = 'deleted' OR created_at < now() - make_interval(secs => $1))
ORDER BY created_at LIMIT $2"""
_REMOVABLE_OF_USER = "SELECT id FROM files WHERE user_id = $1 AND status = 'deleted' LIMIT $2"
_REMOVED = """
WITH gone AS (
    SELECT id FROM files WHERE id = ANY ($1::uuid[]) AND status <> 'ready' ORDER BY id FOR UPDATE
)
DELETE FROM files AS f USING gone WHERE f.id = gone.id"""
_UNKNOWN = """
SELECT id FROM unnest($1::uuid[]) AS id WHERE NOT EXISTS (SELECT FROM files AS f WHERE f.id = id.id)"""


class PostgresFileRows:
    """Rows of files."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def begin(self, file_id: UUID, user_id: UUID, filename: str, *, wanted: int, limits: FileLimits) -> int:
        """Reserve room for an upload; returns its bytes, at most ``wanted``. Raises StorageFull and Erased."""
        async with self._database.transaction() as connection:
            if await connection.fetchval(_LOCK_OWNER, user_id) is None:
                raise Erased
            count, used = await connection.fetchrow(_USE, user_id)
            if count >= limits.count:
                raise StorageFull(f"Your plan allows {limits.count} files.")
            room = int(min(wanted, limits.storage_bytes - used))
            if room < 1:
                raise StorageFull(f"Your plan allows {limits.storage_bytes} bytes of files.")
            await connection.execute(_BEGIN, file_id, user_id, filename, room)
        return room

    async def complete(self, file_id: UUID, user_id: UUID, content: FileContent) -> StoredFile | None:
        """Make an upload a file; None if it is no longer expected."""
        described = (content.size, content.sha256, content.media_type, content.purpose, content.text_tokens)
        row = await self._database.row(_COMPLETE, file_id, user_id, *described, content.lifetime)
        return _file(row) if row is not None else None

    async def find(self, user_id: UUID, file_ids: Collection[UUID]) -> list[StoredFile]:
        """Return those of the files that belong to the user."""
        return [_file(row) for row in await self._database.fetch(_FIND, user_id, list(file_ids))]

    async def page(
        self, user_id: UUID, before: UUID | None, limit: int, *, purpose: str | None = None
    ) -> list[StoredFile]:
        """Return a user's files, newest first; with a ``purpose``, those of it."""
        return [_file(row) for row in await self._database.fetch(_PAGE, user_id, before, limit, purpose)]

    async def delete(self, user_id: UUID, file_id: UUID) -> bool:
        """Hide a file of the user; False if there is none."""
        return await self._database.execute(_DELETE, user_id, file_id) > 0

    async def set_text(self, file_id: UUID, *, tokens: int | None, error: str | None) -> bool:
        """Store what is known of a file's text; False if the file is gone."""
        return await self._database.execute(_SET_TEXT, file_id, tokens, error) > 0

    async def abandon(self, file_id: UUID) -> None:
        """Give up an upload, also one whose completion was not confirmed."""
        await self._database.execute(_ABANDON, file_id)

    async def erase(self, user_id: UUID) -> None:
        """Hide every file of a user. The tombstone of the account refuses new uploads."""
        async with self._database.transaction() as connection:
            await connection.execute(_ERASE_ACCOUNT, user_id)
            await connection.execute(_ERASE, user_id)

    async def expire(self, *, limit: int) -> int:
        """Delete files whose time is over; returns how many."""
        return await self._database.execute(_PURGE_EXPIRED, limit)

    async def removable(self, *, user_id: UUID | None, limit: int) -> Sequence[UUID]:
        """Return files whose objects are to be removed."""
        if user_id is not None:
            rows = await self._database.fetch(_REMOVABLE_OF_USER, user_id, limit)
        else:
            rows = await self._database.fetch(_REMOVABLE, 2 * UPLOAD_TIMEOUT, limit)
        return [row["id"] for row in rows]

    async def removed(self, file_ids: Collection[UUID]) -> None:
        """Remove the rows of files whose objects are gone."""
        await self._database.execute(_REMOVED, list(file_ids))

    async def claim_run(self, name: str, interval: float) -> bool:
        """Return whether the caller runs a task that no replica has begun within ``interval`` seconds."""
        return await self._database.row(CLAIM_RUN, name, interval) is not None

    async def unknown(self, file_ids: Collection[UUID]) -> set[UUID]:
        """Return those of the files that have no row."""
        return {row["id"] for row in await self._database.fetch(_UNKNOWN, list(file_ids))}


def _file(row: Row) -> StoredFile:
    return StoredFile(**{field.name: row[field.name] for field in fields(StoredFile)})
