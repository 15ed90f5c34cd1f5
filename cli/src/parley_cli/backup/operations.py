"""Backup and restore of a server: its databases, and the keys that encrypt secrets in them."""

import contextlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from parley.config.settings import SettingsError
from parley_cli.backup import secret_key
from parley_cli.backup.access import KEY_OPTION, DatabaseAccess
from parley_cli.backup.archive_reader import ArchiveReader
from parley_cli.backup.archive_writer import open_archive
from parley_cli.backup.dump import dump, open_snapshots
from parley_cli.backup.errors import BackupError
from parley_cli.backup.load import load
from parley_cli.backup.manifest import Manifest, SecretKeyPart
from parley_cli.backup.progress import RestoreProgress
from parley_cli.backup.services import in_order

_NEW_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class RestoreOptions:
    """Decisions of the operator."""

    replace: bool = False
    new_signing_keys: bool = False
    passphrase: str | None = field(default=None, repr=False)


async def back_up(access: DatabaseAccess, path: Path, passphrase: str | None) -> Manifest:
    """Write an archive of the databases, and return its content.

    Raises BackupError, SettingsError, or an error of asyncpg or the network.
    """
    keys = _describe_keys(access, passphrase)
    async with contextlib.AsyncExitStack() as stack:
        snapshots = await stack.enter_async_context(open_snapshots(access.dsns))
        with open_archive(path) as archive:
            content = await dump(archive, snapshots, keys)
            await stack.aclose()  # the verification needs no snapshot
            archive.finish(content)
    return content


def _describe_keys(access: DatabaseAccess, passphrase: str | None) -> list[SecretKeyPart]:
    found = []
    for service, name in secret_key.NAMES.items():
        if service not in access.dsns:
            continue
        key = access.secret_keys.get(service)
        if key is None:
            raise SettingsError(f"{name}: is required with the database of {service}, whose secrets it encrypts")
        found.append(secret_key.describe(name, key, passphrase))
    return found


async def restore(access: DatabaseAccess, archive: ArchiveReader, options: RestoreOptions) -> None:
    """Restore the databases of a verified archive; raises as ``back_up`` does."""
    key = _choose_key(archive, access, options) if "auth" in access.dsns else None
    if "webhooks" in access.dsns:
        shared = key if access.new_key_file is not None else None
        _require_key_of_webhooks(archive, access.secret_keys.get("webhooks") or shared, access)

    def keep_key() -> None:
        """Write the key of a new data folder. A restore that is refused leaves none, which would be another key."""
        if key is not None and access.new_key_file is not None:
            from parley_embedded.private_files import write_private

            write_private(access.new_key_file, key)

    progress = RestoreProgress(in_order(list(access.dsns)))
    with progress.explain():
        await load(archive, access.dsns, progress, replace=options.replace, before_changes=keep_key)
        if options.new_signing_keys and "auth" in access.dsns:
            from auth.wiring import delete_signing_keys

            await delete_signing_keys(access.dsns["auth"])


def _choose_key(archive: ArchiveReader, access: DatabaseAccess, options: RestoreOptions) -> str:
    """Return the key with which auth will run; raise BackupError when it cannot decrypt the signing keys."""
    part, key = archive.manifest.secret_key(secret_key.NAMES["auth"]), access.secret_keys.get("auth")
    if options.new_signing_keys or part is None:
        return key or secrets.token_hex(_NEW_KEY_BYTES)
    if key:
        secret_key.require_same(part, key)
        return key
    if access.new_key_file is not None and part.encrypted and options.passphrase:
        return secret_key.decrypt(part, options.passphrase)
    raise _missing(part, access)


def _require_key_of_webhooks(archive: ArchiveReader, key: str | None, access: DatabaseAccess) -> None:
    part, content = archive.manifest.secret_key(secret_key.NAMES["webhooks"]), archive.manifest.database("webhooks")
    if part is None or content is None or content.rows_of("webhooks") == 0:
        return
    if not key:
        raise _missing(part, access)
    secret_key.require_same(part, key)


def _missing(part: SecretKeyPart, access: DatabaseAccess) -> BackupError:
    file = access.new_key_file
    found = "Set it" if file is None else f"Give the file {file.name} of the backed-up data folder with {KEY_OPTION}"
    give = ", or give --passphrase-file" if part.encrypted and part.name == secret_key.NAMES["auth"] else ""
    return BackupError(
        f"{part.name} with the fingerprint {part.fingerprint} is required: it encrypted secrets in the archive. "
        f"{found}{give}, {secret_key.WAY_ON[part.name]}."
    )


def decrypt_keys(archive: ArchiveReader, passphrase: str | None) -> dict[str, str]:
    """Return the keys in an archive by name; raise SettingsError without a passphrase, BackupError for a wrong one."""
    if not archive.manifest.secret_keys:
        raise BackupError(f"{archive.path} has no data that a key encrypts.")
    if passphrase is None:
        raise SettingsError("--passphrase-file: is required to decrypt the keys")
    return {part.name: secret_key.decrypt(part, passphrase) for part in archive.manifest.secret_keys}
