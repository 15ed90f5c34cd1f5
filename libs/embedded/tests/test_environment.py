"""Environment of child processes: an allow-list, so that no provider key or secret reaches them."""

from pathlib import Path

import pytest

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.process.child import ChildProcess, ServerCommand
from parley_embedded.process.environment import ALLOWED, DOWNLOAD, child_environment
from parley_embedded.process.tool import run_tool
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing import eventually

SECRETS = (
    *("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AUTH_SECRET_KEY", "INTERNAL_CLIENT_SECRET", "SMTP_URL"),
    *("DATABASE_URL", "AUTH_DATABASE_URL", "REDIS_URL", "AMQP_URL", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"),
)
CANARY = "canary-7c1f"


@pytest.fixture
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, CANARY)


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def test_only_allowed_variables_are_inherited() -> None:
    source = dict.fromkeys([*SECRETS, "PATH", "HOME", "LC_ALL", "https_proxy"], "x")
    assert set(child_environment(source=source)) == {"PATH", "HOME", "LC_ALL"}
    assert set(child_environment(source=source, also=DOWNLOAD)) == {"PATH", "HOME", "LC_ALL", "https_proxy"}
    assert child_environment({"LC_ALL": "C"}, source=source)["LC_ALL"] == "C"


def test_no_allowed_name_is_that_of_a_secret() -> None:
    words = ("KEY", "SECRET", "TOKEN", "PASSWORD", "CREDENTIAL", "DATABASE", "OPENAI")
    assert [name for name in ALLOWED | DOWNLOAD if any(word in name.upper() for word in words)] == []


@pytest.mark.usefixtures("_secrets")
async def test_a_child_and_a_tool_without_an_environment_get_no_secrets(tmp_path: Path) -> None:
    child = ChildProcess(ServerCommand(name="Child", arguments=["sleep", "600"], folder=tmp_path))
    await child.start()
    await eventually(lambda: Path(f"/proc/{child.pid}/comm").read_text() == "sleep\n")
    assert CANARY not in environment_of(child.pid)
    await child.stop()
    status, output = await run_tool("env", seconds=10)
    assert status == 0
    assert "PATH=" in output
    assert CANARY not in output


@pytest.mark.integration
@pytest.mark.usefixtures("_secrets")
@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedValkey])
async def test_a_server_gets_no_secrets(short_folder: Path, kind: type[EmbeddedServer]) -> None:
    async with kind(short_folder / kind.__name__) as server:
        assert server.running
        # Valkey overwrites its environment in /proc with its title.
        environment = server.child.command.environment
        assert environment is not None
        assert "PATH" in environment
        assert CANARY not in [*environment.values(), environment_of(server.child.pid)]
