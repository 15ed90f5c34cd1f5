"""`parley admin`: accounts, administrators, password links and signing keys."""

import asyncio
import errno
import re
import secrets
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from auth.audit.model import OPERATOR
from auth.container import AuthServices
from auth.settings import AuthSettings
from auth.wiring import open_offline
from parley.config.settings import load
from parley_cli.main import build
from parley_cli.stack import folder_lock
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.stacks.commands import command_path

PASSWORD = "correct horse battery staple"
LINK = re.compile(r"https://chat\.example\.org/reset#token=(prs_\S+)")


async def without_tables(_: str) -> None:
    """Leave the database empty: `open_offline` migrates it."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, in which there is no server."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
async def server(backends: SharedBackends) -> AsyncIterator[dict[str, str]]:
    """The settings of auth, as a container has them."""
    database_url = await backends.fresh_database(without_tables, "empty")
    yield {
        "AUTH_DATABASE_URL": database_url,
        "REDIS_URL": await backends.redis_url(),
        "AUTH_SECRET_KEY": secrets.token_hex(32),
        "PUBLIC_URL": "https://chat.example.org",
    }
    await backends.drop(database_url)


@pytest.fixture
async def auth(server: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AuthServices]:
    """The same server's services, to see what the commands have done."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    async with open_offline(load(AuthSettings)) as services:
        yield services


def invoke(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(build(), list(arguments), input=stdin)


async def parley(*arguments: str, stdin: str = "") -> Result:
    """Run the command in a thread, because it has an event loop of its own."""
    return await asyncio.to_thread(invoke, *arguments, stdin=stdin)


@pytest.mark.integration
async def test_a_person_is_added_with_a_link_and_again_without_a_change(auth: AuthServices) -> None:
    arguments = ("admin", "create-user", "ada", "--email", "ada@example.org", "--display-name", "Ada")
    first, second = await parley(*arguments), await parley(*arguments)
    link = LINK.search(first.stdout)
    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert link
    assert not LINK.search(second.stdout)
    assert "Nothing changed." in second.stdout
    await auth.password_resets.use(link[1], PASSWORD, OPERATOR)
    account = await auth.grants._login.authenticate("ada", PASSWORD, OPERATOR)
    assert account is not None
    assert (account.status, account.display_name, "admin" in account.scopes) == ("active", "Ada", False)
    listed = await parley("admin", "list-users", "ad")
    assert re.search(r"^ada +active +default +\d{4}-|^ada +active +default +never", listed.stdout, re.MULTILINE)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "field"), [(("a b",), "username"), (("ada", "--email", "ada"), "email")], ids=["name", "address"]
)
async def test_what_cannot_be_stored_is_refused_with_the_name_of_the_field(
    auth: AuthServices, arguments: tuple[str, ...], field: str
) -> None:
    refused = await parley("admin", "create-user", *arguments)
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.startswith(f"parley admin: {field}: ")


@pytest.mark.integration
async def test_a_password_is_read_from_standard_input_and_obeys_the_policy(auth: AuthServices) -> None:
    refused = await parley("admin", "create-admin", "root", "--password-stdin", stdin="short\n")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    made = await parley("admin", "create-admin", "root", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert made.exit_code == 0, made.stderr
    assert PASSWORD not in made.stdout + made.stderr
    account = await auth.grants._login.authenticate("root", PASSWORD, OPERATOR)
    assert account is not None
    assert "admin" in account.scopes
    entries = await auth.stores.audit.read({"target": str(account.id)}, before=None, limit=5)
    assert {entry.actor_type for entry in entries if entry.action == "user.registered"} == {"operator"}


@pytest.mark.integration
async def test_an_account_is_promoted_reset_disabled_enabled_and_erased(auth: AuthServices) -> None:
    await auth.accounts.ensure(username="bea", password=PASSWORD)
    promoted = await parley("admin", "create-admin", "bea")
    assert (promoted.exit_code, promoted.stdout) == (0, "bea is an administrator now.\n")
    reset = await parley("admin", "reset-password", "bea")
    link = LINK.search(reset.stdout)
    assert link
    await auth.password_resets.use(link[1], "another long enough sentence", OPERATOR)
    await auth.accounts.ensure(username="other", password=PASSWORD, scopes=("account", "admin"))
    for command, answer in (("disable-user", "now disabled"), ("disable-user", "already disabled")):
        done = await parley("admin", command, "bea")
        assert (done.exit_code, answer in done.stdout) == (0, True), done.stderr
    assert await auth.grants._login.authenticate("bea", "another long enough sentence", OPERATOR) is None
    assert (await parley("admin", "enable-user", "bea")).exit_code == 0
    unconfirmed = await parley("admin", "delete-user", "bea")
    assert unconfirmed.exit_code != 0
    assert await auth.stores.accounts.by_login("bea") is not None
    erased = await parley("admin", "delete-user", "bea", "--yes")
    assert erased.exit_code == 0, erased.stderr
    again = await parley("admin", "delete-user", "bea", "--yes")
    assert (again.exit_code, again.stderr) == (
        3,
        "parley admin: No account has the user name or e-mail address bea.\n",
    )


@pytest.mark.integration
async def test_rotate_keys_publishes_the_new_key_beside_the_old_one(auth: AuthServices) -> None:
    done = await parley("auth", "rotate-keys")
    assert done.exit_code == 0, done.stderr
    kid = re.search(r"Signing key (\S+) is published", done.stdout)
    assert kid
    await auth.keys.refresh()
    assert kid[1] in {key["kid"] for key in auth.keys.jwks()["keys"]}


@pytest.mark.parametrize("arguments", [["--password-stdin", "--generate-password"], ["--scope", "everything"]])
@pytest.mark.usefixtures("folder")
def test_wrong_options_exit_with_status_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/auth")
    assert invoke("admin", "create-user", "ada", *arguments).exit_code == 2


@pytest.mark.usefixtures("folder")
def test_an_unreachable_database_prints_one_line_and_exits_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/auth")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("AUTH_SECRET_KEY", secrets.token_hex(32))
    result = invoke("admin", "rotate-keys")
    assert result.exit_code == 1
    assert result.stderr == "parley admin: Cannot reach the account database (ConnectionRefusedError).\n"


@pytest.mark.usefixtures("folder")
def test_a_container_that_lacks_a_setting_is_told_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_SECRET_KEY", secrets.token_hex(32))
    result = invoke("admin", "rotate-keys")
    assert result.exit_code == 2
    assert "parley admin: AUTH_DATABASE_URL: is required but not set" in result.stderr


def test_without_a_server_nothing_is_created(folder: Path) -> None:
    result = invoke("admin", "create-admin", "ada")
    assert result.exit_code == 2
    assert "There is no server here" in result.stderr
    assert list(folder.iterdir()) == []


def test_a_folder_of_another_user_is_named_with_the_way_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".parley").mkdir()

    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path / folder_lock.FILE_NAME))

    monkeypatch.setattr(folder_lock, "is_held", refuse)
    result = invoke("admin", "list-users")
    assert result.exit_code == 2
    assert "(Permission denied). Run this as the owner of" in " ".join(result.stderr.split())


@pytest.mark.integration
async def test_the_database_of_a_folder_without_a_redis_is_started(folder: Path) -> None:
    (folder / ".parley").mkdir()
    result = await parley("admin", "list-users")
    assert result.exit_code == 0, result.stderr
    assert len(result.stdout.splitlines()) == 1, "there is only the headline: no account exists"


def test_the_help_names_every_subcommand() -> None:
    shown = invoke("admin", "--help").stdout
    names = ("create-user", "create-admin", "reset-password", "list-users", "disable-user", "enable-user")
    assert all(name in shown for name in (*names, "delete-user", "rotate-keys"))


def test_parley_auth_with_arguments_runs_parley_admin() -> None:
    done = subprocess.run(
        [command_path("parley-auth"), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "create-admin" in done.stdout
