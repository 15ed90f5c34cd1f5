"""Embedded profile without a configured provider: local model and demo account."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from parley_embedded.process.tool import run_tool
from parley_testing.http.client import UserClient, open_http
from parley_testing.stacks.commands import command_path, environment, free_ports
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    async with EmbeddedStack(tmp_path_factory.mktemp("local"), None) as running:
        yield running


@pytest.fixture
async def demo(stack: EmbeddedStack) -> AsyncIterator[UserClient]:
    password = (stack.folder / "data" / "demo-password").read_text().strip()
    async with open_http(stack.url) as http:
        client = UserClient(http, "demo", password)
        await client.log_in()
        yield client


async def test_the_local_model_streams_an_answer_with_its_usage(demo: UserClient) -> None:
    events = [e.data async for e in demo.stream("Say hello.", max_tokens=24)]
    deltas = [e["delta"] for e in events if e["delta"]]
    assert len(deltas) > 1
    last = events[-1]
    assert last["status"] == "completed"
    assert last["usage"]["prompt_tokens"] > 0
    assert 0 < last["usage"]["completion_tokens"] <= 24
    assert last["usage"]["estimated"] is False


async def test_the_catalogue_names_the_local_model(demo: UserClient) -> None:
    models = (await demo.request("GET", "/api/v1/models")).json()
    assert models["default"] == "default"
    assert [(m["provider"], m["context_window"]) for m in models["data"]] == [("local", 8192)]


@pytest.mark.chaos
async def test_a_model_that_cannot_start_is_reported_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "modules"
    broken.mkdir()
    (broken / "xllamacpp.py").write_text("raise ImportError('broken for this test')\n")
    status, output = await run_tool(
        command_path("parley"),
        *("run", "--data-dir", str(tmp_path / "data"), "--port", str(free_ports()), "--admin-port", str(free_ports())),
        seconds=60,
        environment=environment(PYTHONPATH=str(broken)),
    )
    assert status == 1
    [line] = [line for line in output.splitlines() if line.startswith("parley:")]
    assert "Model ended during its start" in line
    assert "OPENAI_BASE_URL" in line


def secret_files(folder: Path) -> list[Path]:
    return [
        p for p in folder.glob("*") if p.is_file() and any(w in p.name for w in ("password", "secret", "key", "log"))
    ]


async def test_only_the_owner_can_read_secrets_and_logs(stack: EmbeddedStack) -> None:
    files = secret_files(stack.folder / "data")
    assert len(files) >= 4
    assert {p.stat().st_mode & 0o077 for p in files} == {0}
