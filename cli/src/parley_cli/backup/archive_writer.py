"""Writing of an archive: a ZIP file that gets its name when it is complete and verified."""

import contextlib
import fcntl
import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from parley_cli.backup import manifest
from parley_cli.backup.archive_reader import read_archive
from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import Manifest, TablePart
from parley_embedded.private_files import sync_folder

PARTIAL_SUFFIX = ".partial"
COMPRESSION_LEVEL = 1
"""Higher levels cost far more time than they save space."""


class PartWriter:
    """Writes the rows of one table, and counts and digests them."""

    def __init__(self, member: IO[bytes]) -> None:
        self._member, self._digest = member, hashlib.sha256()
        self.rows = self.size = 0

    async def write(self, data: bytes) -> None:
        """Append data in COPY's text format, in which each row ends with the only newline in it."""
        self._member.write(data)
        self._digest.update(data)
        self.rows += data.count(b"\n")
        self.size += len(data)

    def part(self, name: str, columns: list[str]) -> TablePart:
        """Return the entry of the manifest."""
        return TablePart(name=name, columns=columns, rows=self.rows, size=self.size, sha256=self._digest.hexdigest())


class ArchiveWriter:
    """An archive that is being written. Nothing has its name before ``finish`` has verified it."""

    def __init__(self, file: IO[bytes], partial: Path, path: Path) -> None:
        self._file, self._partial, self._path = file, partial, path
        self._zip = zipfile.ZipFile(
            file, "w", compression=zipfile.ZIP_DEFLATED, compresslevel=COMPRESSION_LEVEL, allowZip64=True
        )

    @contextlib.contextmanager
    def open_table(self, service: str, table: str) -> Iterator[PartWriter]:
        """Append the file of a table."""
        with self._zip.open(manifest.member_name(service, table), "w", force_zip64=True) as member:
            yield PartWriter(member)

    def finish(self, content: Manifest) -> None:
        """Append the manifest, write everything to disk, read it again, and give the file its name.

        Raises BackupError if the archive is not what the manifest says.
        """
        self._zip.writestr(manifest.NAME, content.model_dump_json(indent=1))
        self.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        _verify(self._partial)
        os.link(self._partial, self._path)  # fails if the name is taken, unlike a rename
        self._partial.unlink()
        sync_folder(self._path.parent)

    def close(self) -> None:
        """Write the directory of the ZIP file; safe to repeat."""
        self._zip.close()


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Write an archive that only its owner can read. Without ``finish``, nothing is left of it."""
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    try:
        if path.exists():
            raise BackupError(f"{path} exists already. Remove it, or choose another name.")
        _remove(partial)
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            _claim(file, partial)
            try:
                with contextlib.closing(ArchiveWriter(file, partial, path)) as archive:
                    yield archive
            finally:
                partial.unlink(missing_ok=True)
    except (ConnectionError, TimeoutError):
        raise  # of a database, not of the file
    except OSError as error:
        raise BackupError(f"Cannot write {error.filename or path}: {error.strerror or error}.") from error


def _verify(partial: Path) -> None:
    try:
        with read_archive(partial) as archive:
            archive.verify()
    except BackupError as error:
        raise BackupError(f"The new archive did not pass its verification, and was deleted: {error}") from error


def remove_abandoned(folder: Path, pattern: str) -> None:
    """Remove the partial files of killed backups."""
    for partial in folder.glob(pattern + PARTIAL_SUFFIX):
        with contextlib.suppress(OSError, BackupError):
            _remove(partial)


def _remove(partial: Path) -> None:
    """Remove the file of a killed backup. It is not truncated: it can be a complete archive, which has its name too."""
    with contextlib.suppress(FileNotFoundError), partial.open("r+b") as file:
        _claim(file, partial)
        partial.unlink()


def _claim(file: IO[bytes], partial: Path) -> None:
    """Lock a partial file; raise BackupError if another backup has it, or has given it its name meanwhile."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        if partial.exists() and os.path.samestat(os.fstat(file.fileno()), partial.stat()):
            return
    raise BackupError(f"Another backup is writing {partial}.")
