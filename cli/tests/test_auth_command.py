"""`parley auth`: administrators, password resets and signing keys."""

import re
import secrets
import subprocess
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner

from auth.audit.model import OPERATOR
from auth.container import AuthServices
from auth.settings import AuthSettings
from auth.wiring import open_offline
from parley.config.settings import load
from parley.errors import NotFound
from parley_cli.commands.auth import issue_reset_token, make_admin, rotate_signing_key
from parley_cli.main import build
from parley_testing.backends.shared import SharedBackends
from parley_testing.stacks.commands import command_path

PASSWORD = "correct horse battery staple"


async def without_tables(_: str) -> None:
    """Leave the database empty: `open_offline` migrates it."""


@pytest.fixture
async def auth(backends: SharedBackends) -> AsyncIterator[AuthServices]:
    database_url = await backends.fresh_database(without_tables, "empty")
    settings = load(
        AuthSettings,
        database_url=database_url,
        redis_url=await backends.redis_url(),
        auth_secret_key=secrets.token_hex(32),
    )
    async with open_offline(settings) as services:
        yield services
    await backends.drop(database_url)


@pytest.fixture
def unreachable_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/auth")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("AUTH_SECRET_KEY", secrets.token_hex(32))


@pytest.mark.integration
async def test_create_admin_generates_a_password_that_logs_in(auth: AuthServices) -> None:
    message = await make_admin(auth.operator, username="root", email=None, password=None)
    password = message.rpartition("Password: ")[2]
    account = await auth.grants._login.authenticate("root", password, OPERATOR)
    assert account is not None
    assert "admin" in account.scopes


@pytest.mark.integration
async def test_create_admin_promotes_an_existing_account_and_keeps_its_password(auth: AuthServices) -> None:
    await auth.accounts.ensure(username="ada", password=PASSWORD)
    message = await make_admin(auth.operator, username="ada", email=None, password="ignored " * 3)
    assert "The password is unchanged" in message
    account = await auth.grants._login.authenticate("ada", PASSWORD, OPERATOR)
    assert account is not None
    assert "admin" in account.scopes


@pytest.mark.integration
async def test_reset_password_prints_a_token_that_sets_a_new_password(auth: AuthServices) -> None:
    await auth.accounts.ensure(username="ada", password=PASSWORD)
    message = await issue_reset_token(auth.operator, "ada")
    token = re.search(r"prs_\S+", message)
    assert token
    await auth.password_resets.use(token[0], "another long enough sentence", OPERATOR)
    assert await auth.grants._login.authenticate("ada", "another long enough sentence", OPERATOR)


@pytest.mark.integration
async def test_reset_password_for_an_unknown_account_fails(auth: AuthServices) -> None:
    with pytest.raises(NotFound):
        await issue_reset_token(auth.operator, "nobody")


@pytest.mark.integration
async def test_rotate_keys_publishes_the_new_key_beside_the_old_one(auth: AuthServices) -> None:
    before = [key["kid"] for key in auth.keys.jwks()["keys"]]
    message = await rotate_signing_key(auth.operator)
    after = [key["kid"] for key in auth.keys.jwks()["keys"]]
    assert len(after) == len(before) + 1
    assert after[-1] in message


@pytest.mark.usefixtures("unreachable_database")
def test_an_unreachable_database_prints_one_line_and_exits_with_status_1() -> None:
    result = CliRunner().invoke(build(), ["auth", "rotate-keys"])
    assert result.exit_code == 1
    assert result.stderr == "parley auth: Cannot reach the account database (ConnectionRefusedError).\n"


def test_a_missing_setting_prints_one_line_and_exits_with_status_1() -> None:
    result = CliRunner().invoke(build(), ["auth", "rotate-keys"])
    assert result.exit_code == 1
    assert "AUTH_DATABASE_URL: is required" in result.stderr


def test_parley_auth_with_arguments_runs_parley_auth() -> None:
    done = subprocess.run(
        [command_path("parley-auth"), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "create-admin" in done.stdout
