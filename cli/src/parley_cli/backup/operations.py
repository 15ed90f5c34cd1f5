"""Backup and restore of a server: its databases, and the key that encrypts its signing keys."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from parley.config.settings import SettingsError
from parley_cli.backup import secret_key
from parley_cli.backup.access import DatabaseAccess
from parley_cli.backup.archive_reader import ArchiveReader
from parley_cli.backup.archive_writer import open_archive
from parley_cli.backup.dump import dump
from parley_cli.backup.errors import BackupError
from parley_cli.backup.load import load
from parley_cli.backup.manifest import SecretKeyPart

_NEW_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """Decisions of the operator."""

    replace: bool = False
    new_signing_keys: bool = False
    passphrase: str | None = field(default=None, repr=False)


async def back_up(access: DatabaseAccess, path: Path, passphrase: str | None) -> None:
    """Write an archive of the databases; raise BackupError, SettingsError, or an error of asyncpg or the network."""
    keys = _describe_keys(access, passphrase)
    with open_archive(path) as archive:
        await dump(archive, access.dsns, keys)


def _describe_keys(access: DatabaseAccess, passphrase: str | None) -> list[SecretKeyPart]:
    key = access.secret_key
    if "auth" not in access.dsns:
        return []
    if not key:
        raise SettingsError(f"{secret_key.NAME}: is required with the database of auth, whose signing keys it encrypts")
    return [secret_key.describe(key, passphrase)]


async def restore(access: DatabaseAccess, archive: ArchiveReader, options: RestoreOptions) -> None:
    """Restore the databases of a verified archive; raises as ``back_up`` does."""
    key = _choose_key(archive, access, options) if "auth" in access.dsns else None
    if key is not None and access.new_key_file is not None:
        from parley_embedded.private_files import write_private

        write_private(access.new_key_file, key)
    await load(archive, access.dsns, replace=options.replace)
    if options.new_signing_keys and "auth" in access.dsns:
        from auth.wiring import delete_signing_keys

        await delete_signing_keys(access.dsns["auth"])


def _choose_key(archive: ArchiveReader, access: DatabaseAccess, options: RestoreOptions) -> str:
    """Return the key with which auth will run; raise BackupError when it cannot decrypt the signing keys."""
    part = archive.manifest.secret_key()
    if options.new_signing_keys or part is None:
        return access.secret_key or secrets.token_hex(_NEW_KEY_BYTES)
    if access.secret_key:
        secret_key.require_same(part, access.secret_key, source=secret_key.NAME)
        return access.secret_key
    if access.new_key_file is not None and part.encrypted and options.passphrase:
        return secret_key.decrypt(part, options.passphrase)
    raise BackupError(
        f"{part.name} with the fingerprint {part.fingerprint} is required: it encrypted the signing keys in the "
        f"archive. Set it{', or give --passphrase-file' if part.encrypted else ''}, or use --new-signing-keys: then "
        "everyone logs in again."
    )


def decrypt_key(archive: ArchiveReader, passphrase: str | None) -> str:
    """Return the key in an archive; raise SettingsError without a passphrase, and BackupError when it is wrong."""
    part = archive.manifest.secret_key()
    if part is None:
        raise BackupError(f"{archive.path} has no database of auth, so {secret_key.NAME} is not in it.")
    if passphrase is None:
        raise SettingsError("--passphrase-file: is required to decrypt the key")
    return secret_key.decrypt(part, passphrase)
