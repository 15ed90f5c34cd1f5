"""Reading of an archive, and its verification against its manifest."""

import contextlib
import hashlib
import json
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from pydantic import ValidationError

from parley_cli.backup import manifest
from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import DatabasePart, Manifest, TablePart

CHUNK_BYTES = 262_144
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError)


class ArchiveReader:
    """An archive with a valid manifest."""

    def __init__(self, path: Path, file: zipfile.ZipFile, content: Manifest) -> None:
        self.path, self.manifest, self._zip = path, content, file

    def verify(self) -> None:
        """Read everything; raise BackupError unless every part has the rows and the digest of the manifest."""
        expected = {manifest.NAME}
        for database in self.manifest.databases:
            for table in database.tables:
                expected.add(database.member(table))
                self._verify(database, table)
        if set(self._zip.namelist()) != expected:
            raise BackupError(f"{self.path} is damaged: it has files that its manifest does not name.")

    def _verify(self, database: DatabasePart, table: TablePart) -> None:
        digest, rows, size = hashlib.sha256(), 0, 0
        for data in self._chunks(database.member(table)):
            digest.update(data)
            rows += data.count(b"\n")
            size += len(data)
        if (digest.hexdigest(), rows, size) != (table.sha256, table.rows, table.size):
            raise BackupError(f"{self.path} is damaged: {database.member(table)} is not what its manifest says.")

    async def rows(self, database: DatabasePart, table: TablePart) -> AsyncIterator[bytes]:
        """Yield the rows of a table in COPY's text format, in pieces."""
        for data in self._chunks(database.member(table)):
            yield data

    def _chunks(self, member: str) -> Iterator[bytes]:
        with _translate_damage(self.path, member), self._zip.open(member) as file:
            while data := file.read(CHUNK_BYTES):
                yield data


@contextlib.contextmanager
def read_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open an archive; raise BackupError when it is damaged, truncated, or no archive of Parley."""
    try:
        file = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise BackupError(f"{path} is no backup of Parley, or it is truncated.") from None
    except OSError as error:
        raise BackupError(f"Cannot read {path}: {error.strerror or error}.") from error
    except _DAMAGED:
        raise BackupError(f"{path} is damaged: its directory cannot be read.") from None
    with file:
        yield ArchiveReader(path, file, _read_manifest(path, file))


def _read_manifest(path: Path, file: zipfile.ZipFile) -> Manifest:
    if manifest.NAME not in file.namelist():
        raise BackupError(f"{path} is no backup of Parley: it has no {manifest.NAME}.")
    with _translate_damage(path, manifest.NAME), file.open(manifest.NAME) as member:
        text = member.read(manifest.MAX_BYTES + 1)
    if len(text) > manifest.MAX_BYTES:
        raise BackupError(f"{path} is no backup of Parley: its {manifest.NAME} is too large.")
    _require_format(path, text)
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        raise BackupError(f"{path} is damaged: its {manifest.NAME} is not valid.") from None


def _require_format(path: Path, text: bytes) -> None:
    try:
        found = json.loads(text).get("format")
    except (ValueError, AttributeError, RecursionError):
        raise BackupError(f"{path} is damaged: its {manifest.NAME} is not valid.") from None
    if isinstance(found, int) and found > manifest.FORMAT:
        raise BackupError(f"{path} was made by a newer version of Parley. Restore it with that version.")


@contextlib.contextmanager
def _translate_damage(path: Path, member: str) -> Iterator[None]:
    try:
        yield
    except KeyError:
        raise BackupError(f"{path} is damaged: {member} is missing.") from None
    except _DAMAGED:
        raise BackupError(f"{path} is damaged: {member} cannot be read.") from None
    except OSError as error:
        raise BackupError(f"Cannot read {path}: {error.strerror or error}.") from error
