"""Damaged data folders of `parley run`: one line with a way on, and never a traceback."""

import errno
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from auth.audit.model import OPERATOR
from auth.container import AuthServices
from auth.settings import AuthSettings
from auth.signing_keys.key_ring import UndecryptableKeysError
from auth.tokens.grants import TokenRequest
from auth.wiring import open_offline
from parley.config.settings import SettingsError, load
from parley_cli.main import build
from parley_cli.settings import LocalSettings
from parley_cli.stack import connections, encryption_key, folder_lock, launcher, preflight
from parley_cli.stack.demo_account import demo_login, ensure_demo_account
from parley_embedded.errors import EmbeddedError
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.stacks.commands import free_ports

GARBAGE = bytes(range(128, 256))
KEY_FILE = encryption_key.FILE_NAME


@pytest.fixture
def used(tmp_path: Path) -> Path:
    """A data folder with a database."""
    (tmp_path / "postgres" / "cluster").mkdir(parents=True)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """Run a subcommand that must fail; return its one line."""
    result = CliRunner().invoke(build(), [*arguments, "--data-dir", str(folder)])
    assert result.exit_code == 1, result.output
    [line] = [line for line in result.output.splitlines() if line.startswith("parley: ")]
    assert "Traceback" not in result.output
    return line


def start(folder: Path) -> str:
    return run(folder, "run", "--port", str(free_ports()), "--admin-port", str(free_ports()))


@pytest.mark.parametrize("content", [None, b"", b"abcd", b"00" * 32, GARBAGE])
def test_a_lost_secret_key_is_reported_before_a_server_starts(used: Path, content: bytes | None) -> None:
    if content is not None:
        (used / KEY_FILE).write_bytes(content)
    line = start(used)
    assert f"{used / KEY_FILE}, which encrypts the signing keys, is missing or damaged. Restore" in line
    assert "--new-signing-keys" in line


def test_the_doctor_reports_a_lost_secret_key_and_creates_none(used: Path) -> None:
    result = CliRunner().invoke(build(), ["doctor", "--data-dir", str(used), "--port", str(free_ports())])
    assert [line for line in result.output.splitlines() if line.startswith("FAIL  secret key")]
    assert not (used / KEY_FILE).exists()


def test_a_new_folder_gets_a_secret_key_that_later_starts_keep(tmp_path: Path) -> None:
    encryption_key.ensure_key(tmp_path)
    created = encryption_key.encryption_key(tmp_path)
    encryption_key.ensure_key(tmp_path)
    assert encryption_key.encryption_key(tmp_path) == created


@pytest.mark.parametrize("name", ["lock", "parley.log", KEY_FILE])
def test_a_folder_in_place_of_a_file_is_reported(used: Path, name: str) -> None:
    (used / name).mkdir()
    line = start(used)
    assert str(used / name) in line
    assert "Move it away and start again." in line


def test_a_file_in_place_of_the_data_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert f"Cannot use {tmp_path / 'data'}: File exists." in start(tmp_path / "data")


@pytest.mark.parametrize("content", [b"", GARBAGE, b"1" * 100_000, b"12 34"])
def test_a_lock_file_that_a_crash_left_or_damaged_does_not_prevent_a_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    assert not folder_lock.is_held(tmp_path)
    with folder_lock.hold(tmp_path):
        assert folder_lock.holder(tmp_path) == str(os.getpid())


def test_the_holder_of_a_damaged_lock_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(GARBAGE)
    assert folder_lock.holder(tmp_path) == "unknown"


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"AUTH_URL": 1}', b"[" * 100_000, GARBAGE])
def test_damaged_connection_settings_are_reported(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / connections.FILE_NAME).write_bytes(content)
    with folder_lock.hold(tmp_path), pytest.raises(SettingsError, match=r"is damaged\. Restart|Cannot read"):
        connections.use(tmp_path, {})


def test_a_file_of_another_user_in_the_folder_is_reported_with_chown(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    me = tmp_path.stat().st_uid
    with pytest.raises(EmbeddedError, match=rf"belongs to user ID {me}; .* chown -R {me + 1} {tmp_path}"):
        preflight.require_own(tmp_path, uid=me + 1)


def test_errors_are_one_line_each(tmp_path: Path) -> None:
    settings = LocalSettings(data_dir=tmp_path)
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "file"))
    assert "No space left on device. Free some space" in launcher.describe(full, settings)
    unexpected = launcher.describe(ValueError("first\n" + "second " * 1000), settings)
    assert unexpected.startswith("Unexpected ValueError: first second ")
    assert f"The traceback is in {tmp_path / 'parley.log'}" in unexpected
    assert "\n" not in unexpected
    assert len(unexpected) < 1000


@pytest.mark.integration
def test_a_database_that_cannot_be_reached_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://a:b@127.0.0.1:1/x")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert "Cannot reach PostgreSQL: " in start(tmp_path)


@pytest.mark.parametrize("url", ["nonsense", "postgresql://127.0.0.1:port/x"])
def test_a_database_url_of_another_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    result = CliRunner().invoke(build(), ["run", "--data-dir", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr.startswith("parley: DATABASE_URL: must be a URL ")


def test_the_demo_password_does_not_appear_in_a_representation(tmp_path: Path) -> None:
    login = demo_login(tmp_path)
    assert login.password not in repr(login)


@pytest.fixture
async def auth_settings(backends: SharedBackends, tmp_path: Path) -> AsyncIterator[AuthSettings]:
    async def leave_empty(_: str) -> None:
        """`open_offline` migrates."""

    database_url = await backends.fresh_database(leave_empty, "empty")
    encryption_key.ensure_key(tmp_path)
    yield load(
        AuthSettings,
        database_url=database_url,
        redis_url=await backends.redis_url(),
        auth_secret_key=encryption_key.encryption_key(tmp_path),
    )
    await backends.drop(database_url)


async def can_log_in(auth: AuthServices, username: str, password: str) -> bool:
    return await auth.grants._login.authenticate(username, password, OPERATOR) is not None


@pytest.mark.integration
async def test_a_lost_demo_password_is_replaced(auth_settings: AuthSettings, tmp_path: Path) -> None:
    async with open_offline(auth_settings) as auth:
        first = demo_login(tmp_path)
        await ensure_demo_account(auth, first, tmp_path)
        assert demo_login(tmp_path).password == first.password
        (tmp_path / "demo-password").write_bytes(b"")
        second = demo_login(tmp_path)
        await ensure_demo_account(auth, second, tmp_path)
        assert await can_log_in(auth, second.username, second.password)
        assert demo_login(tmp_path).password == second.password
        await ensure_demo_account(auth, demo_login(tmp_path), tmp_path)
        assert await can_log_in(auth, second.username, second.password)


@pytest.mark.integration
async def test_new_signing_keys_replace_a_lost_secret_key_and_nobody_logs_in_again(
    auth_settings: AuthSettings, tmp_path: Path
) -> None:
    async with open_offline(auth_settings) as auth:
        [lost] = auth.keys.jwks()["keys"]
        demo = demo_login(tmp_path)
        await ensure_demo_account(auth, demo, tmp_path)
        login = {"grant_type": "password", "username": demo.username, "password": demo.password}
        before = await auth.grants.grant(TokenRequest(login, None, None, OPERATOR))
    other = auth_settings.model_copy(update={"auth_secret_key": SecretStr(secrets.token_hex(32))})
    with pytest.raises(UndecryptableKeysError):
        async with open_offline(other):
            pass
    await encryption_key.replace_key(tmp_path, auth_settings.database_url.get_secret_value())
    key = encryption_key.encryption_key(tmp_path)
    repaired = auth_settings.model_copy(update={"auth_secret_key": SecretStr(key)})
    async with open_offline(repaired) as auth:
        assert lost["kid"] not in [found["kid"] for found in auth.keys.jwks()["keys"]]
        assert len(auth.keys.jwks()["keys"]) == 1
        renewal = {"grant_type": "refresh_token", "refresh_token": before.refresh_token or ""}
        assert (await auth.grants.grant(TokenRequest(renewal, None, None, OPERATOR))).refresh_token
