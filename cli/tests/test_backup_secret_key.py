"""AUTH_SECRET_KEY in archives: a fingerprint, and the key only under a passphrase."""

import base64
import secrets

import pytest

from parley_cli.backup.errors import BackupError
from parley_cli.backup.secret_key import KeyName, decrypt, describe, require_same

NAME: KeyName = "AUTH_SECRET_KEY"
PASSPHRASE = "a long enough passphrase"


def test_the_key_is_in_an_archive_only_under_its_passphrase() -> None:
    key = secrets.token_hex(32)
    part = describe(NAME, key, PASSPHRASE)
    assert key not in part.model_dump_json()
    assert decrypt(part, PASSPHRASE) == key
    with pytest.raises(BackupError, match="passphrase is not"):
        decrypt(part, "another long passphrase")


def test_without_a_passphrase_only_the_fingerprint_is_in_the_archive() -> None:
    raw = secrets.token_bytes(32)
    part = describe(NAME, base64.b64encode(raw).decode(), None)
    assert part.encrypted is None
    require_same(part, raw.hex())
    with pytest.raises(BackupError, match="without a passphrase"):
        decrypt(part, PASSPHRASE)


def test_another_key_is_refused_with_both_fingerprints() -> None:
    part, other = describe(NAME, secrets.token_hex(32), None), describe(NAME, other_key := secrets.token_hex(32), None)
    with pytest.raises(BackupError, match=f"{other.fingerprint}.*{part.fingerprint}"):
        require_same(part, other_key)
