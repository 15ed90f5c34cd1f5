"""Archives of `parley backup`: what is damaged, truncated or foreign is refused in one line."""

import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from parley_cli.backup.archive_reader import read_archive
from parley_cli.backup.archive_writer import PARTIAL_SUFFIX, open_archive, remove_abandoned
from parley_cli.backup.errors import BackupError
from parley_cli.backup.manifest import DatabasePart, Manifest
from parley_cli.backup.secret_key import NAMES
from parley_cli.backup.services import SERVICES
from parley_cli.backup.settings import URL_VARIABLES
from parley_cli.main import build
from parley_cli.settings import LocalSettings
from parley_cli.stack.backends import SERVICES_WITH_DATABASE, StackBackends
from parley_cli.stack.encryption_key import ensure_key
from parley_cli.stack.service_settings import StackConfig

ROWS = b"".join(b"%d\tmessage \\n %d\n" % (n, n) for n in range(2000))


async def write(path: Path, rows: bytes = ROWS, *, sha256: str | None = None) -> Path:
    with open_archive(path) as archive:
        with archive.open_table("chat", "turns") as part:
            for start in range(0, len(rows), 4096):
                await part.write(rows[start : start + 4096])
        table = part.part("turns", ["id", "text"])
        table = table if sha256 is None else table.model_copy(update={"sha256": sha256})
        now = datetime.now(UTC)
        database = DatabasePart(
            service="chat", server_version="17.6", snapshot_at=now, migrations=[], tables=[table], sequences=[]
        )
        archive.finish(
            Manifest(format=1, product_version="1.0.0", created_at=now, databases=[database], secret_keys=[])
        )
    return path


@pytest.fixture
async def archive(tmp_path: Path) -> Path:
    return await write(tmp_path / "one.backup")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[200] ^= 0x10
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rewrite(path: Path, change: Callable[[str, bytes], bytes], *, extra: str | None = None) -> None:
    with zipfile.ZipFile(path) as old:
        content = {name: change(name, old.read(name)) for name in old.namelist()}
    with zipfile.ZipFile(path, "w") as new:
        for name, data in content.items():
            new.writestr(name, data)
        if extra:
            new.writestr(extra, b"")


def replace_a_row(path: Path) -> None:
    rewrite(path, lambda name, data: data.replace(b"message", b"massage", 1) if name.endswith(".copy") else data)


def remove_the_manifest(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("letter.txt", b"hello")


def break_the_manifest(path: Path) -> None:
    rewrite(path, lambda name, data: data[:-20] if name == "manifest.json" else data)


def claim_a_newer_format(path: Path) -> None:
    rewrite(path, lambda _, data: data.replace(b'"format": 1', b'"format": 2').replace(b'"format":1', b'"format":2'))


def add_a_file(path: Path) -> None:
    rewrite(path, lambda _, data: data, extra="chat/other.copy")


async def test_an_archive_is_private_complete_and_verified(archive: Path) -> None:
    assert archive.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in archive.parent.iterdir()] == ["one.backup"]
    with read_archive(archive) as reader:
        reader.verify()
        (database,) = reader.manifest.databases
        (table,) = database.tables
        assert (table.rows, table.size) == (2000, len(ROWS))
        assert b"".join([data async for data in reader.rows(database, table)]) == ROWS


@pytest.mark.parametrize(
    "damage",
    [
        *(truncate, flip_a_byte, empty, replace_a_row, remove_the_manifest),
        *(break_the_manifest, claim_a_newer_format, add_a_file),
    ],
)
async def test_a_damaged_truncated_or_foreign_archive_is_refused_in_one_line(
    archive: Path, damage: Callable[[Path], None]
) -> None:
    damage(archive)
    result = CliRunner().invoke(build(), ["restore", "--check", str(archive)])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith(f"parley restore: {archive} ")


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(build(), ["restore", "--check", str(tmp_path / "none")])
    assert (result.exit_code, result.stderr) == (
        1,
        f"parley restore: Cannot read {tmp_path / 'none'}: No such file or directory.\n",
    )


async def test_an_interrupted_backup_leaves_nothing(tmp_path: Path) -> None:
    async def interrupt() -> None:
        with open_archive(tmp_path / "two.backup") as archive, archive.open_table("chat", "turns") as part:
            await part.write(b"1\n")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await interrupt()
    assert list(tmp_path.iterdir()) == []


def test_a_lost_connection_is_not_reported_as_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), open_archive(tmp_path / "one.backup"):
        raise ConnectionResetError
    assert list(tmp_path.iterdir()) == []


async def test_an_archive_that_does_not_pass_its_verification_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(BackupError) as refused:
        await write(tmp_path / "one.backup", sha256="0" * 64)
    assert str(refused.value).startswith("The new archive did not pass its verification, and was deleted: ")
    assert list(tmp_path.iterdir()) == []


async def test_an_existing_file_is_never_overwritten(archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(BackupError, match="exists already"):
        await write(archive)
    assert archive.read_bytes() == before


def test_remains_of_a_killed_backup_are_removed_but_not_a_running_one(tmp_path: Path) -> None:
    abandoned = tmp_path / f"parley-1.backup{PARTIAL_SUFFIX}"
    abandoned.write_bytes(b"half")
    with open_archive(tmp_path / "parley-2.backup"):
        remove_abandoned(tmp_path, "parley-*.backup")
        assert [path.name for path in tmp_path.iterdir()] == [f"parley-2.backup{PARTIAL_SUFFIX}"]
        with pytest.raises(BackupError, match="Another backup"), open_archive(tmp_path / "parley-2.backup"):
            pass


async def test_an_archive_that_was_killed_before_its_second_name_was_removed_is_kept(archive: Path) -> None:
    content = archive.read_bytes()
    partial = archive.with_name(archive.name + PARTIAL_SUFFIX)
    partial.hardlink_to(archive)
    remove_abandoned(archive.parent, "*.backup")
    assert (partial.exists(), archive.read_bytes() == content) == (False, True)
    partial.hardlink_to(archive)
    renamed = archive.rename(archive.with_name("renamed"))
    await write(archive, b"1\n")
    assert renamed.read_bytes() == content


def test_every_service_with_a_database_is_backed_up() -> None:
    assert set(SERVICES) == set(SERVICES_WITH_DATABASE)


def test_a_running_stack_names_everything_that_a_backup_needs(tmp_path: Path) -> None:
    ensure_key(tmp_path)
    urls = dict.fromkeys(SERVICES_WITH_DATABASE, "postgresql:///x")
    stack = StackConfig(LocalSettings(), tmp_path, StackBackends(urls, "redis:///", None))
    assert {*URL_VARIABLES, *NAMES.values()} <= stack.environment().keys()
