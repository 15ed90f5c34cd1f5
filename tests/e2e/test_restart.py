"""Embedded profile after SIGKILL of every process, at a second start with the local model, and after Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fake_provider.process import FakeProvider
from parley_embedded.process.tool import run_tool
from parley_testing import eventually
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.commands import command_path, environment, free_ports
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def stack(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    """The stack of all tests in this module: the first starts it again without the provider, the last ones stop it."""
    async with EmbeddedStack(tmp_path_factory.mktemp("restart"), provider.base_url) as running:
        yield running


def process_tree(pid: int) -> set[int]:
    """Return the pids of a process and its descendants."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found = {pid}
    while True:
        below = {child for child, parent in parents.items() if parent in found} - found
        if not below:
            return found
        found |= below


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


async def test_a_stack_whose_start_is_broken_off_does_not_run(tmp_path: Path) -> None:
    stack = EmbeddedStack(tmp_path, "http://127.0.0.1:9/v1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await stack.start()
    assert not stack.child.running


async def test_a_conversation_is_complete_after_kill_9_of_the_whole_stack(stack: EmbeddedStack) -> None:
    async with open_http(stack.url) as http:
        user = await register(http)
        answer = await user.chat("remember me [[fake tokens=5]]")
    processes = process_tree(stack.child.pid)
    assert len(processes) > 3
    for pid in processes:
        # Some end by themselves when their parent does.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    await eventually(lambda: not any(alive(pid) for pid in processes))
    await eventually(lambda: all(refuses(stack.port + offset) for offset in range(4)))

    stack.forget_provider()
    await stack.start()
    async with open_http(stack.url) as http:
        user.http = http
        await user.log_in()

        async def complete() -> bool:
            path = f"/api/v1/conversations/{answer['conversation_id']}/messages"
            response = await user.request("GET", path)
            return response.status_code == 200 and [m["content"] for m in response.json()["data"]] == [
                "remember me [[fake tokens=5]]",
                answer["message"],
            ]

        await eventually(complete, within=20)


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


def secret_files(folder: Path) -> list[Path]:
    return [
        p for p in folder.glob("*") if p.is_file() and any(w in p.name for w in ("password", "secret", "key", "log"))
    ]


async def test_only_the_owner_can_read_secrets_and_logs(stack: EmbeddedStack) -> None:
    files = secret_files(stack.folder / "data")
    assert len(files) >= 4
    assert {p.stat().st_mode & 0o077 for p in files} == {0}


@pytest.mark.chaos
async def test_a_second_run_in_the_same_folder_names_the_first(stack: EmbeddedStack) -> None:
    status, output = await run_tool(
        command_path("parley"),
        *("run", "--data-dir", str(stack.folder / "data"), "--port", "38100", "--admin-port", "39100"),
        seconds=180,
        environment=environment(),
    )
    assert status == 1
    assert output.splitlines() == [line for line in output.splitlines() if str(stack.child.pid) in line]


async def test_ctrl_c_stops_every_process_with_status_0(stack: EmbeddedStack) -> None:
    processes = process_tree(stack.child.pid)
    os.kill(stack.child.pid, signal.SIGINT)
    await eventually(lambda: not any(alive(pid) for pid in processes), within=20)
    assert stack.child.exit_status == 0
    assert not list((stack.folder / "data").glob("**/*.sock"))


@pytest.mark.chaos
async def test_an_account_of_a_stopped_stack_is_administered(stack: EmbeddedStack) -> None:
    await stack.stop()
    statuses = []
    for arguments in (("create-admin", "root"), ("reset-password", "nobody")):
        status, output = await run_tool(
            command_path("parley"),
            *("admin", "--data-dir", str(stack.folder / "data"), *arguments),
            seconds=180,
            environment=environment(),
        )
        statuses.append(status)
        if len(statuses) == 1:
            assert f"http://localhost:{stack.port}/reset#token=prs_" in output
    assert statuses == [0, 3]
    assert not list((stack.folder / "data").glob("**/*.sock"))


@pytest.mark.chaos
async def test_a_model_that_cannot_start_is_reported_in_one_line(tmp_path: Path) -> None:
    broken = tmp_path / "modules"
    broken.mkdir()
    (broken / "xllamacpp.py").write_text("raise ImportError('broken for this test')\n")
    status, output = await run_tool(
        command_path("parley"),
        *("run", "--data-dir", str(tmp_path / "data"), "--port", str(free_ports()), "--admin-port", str(free_ports())),
        seconds=180,
        environment=environment(PYTHONPATH=str(broken)),
    )
    assert status == 1
    [line] = [line for line in output.splitlines() if line.startswith("parley:")]
    assert "Model ended during its start" in line
    assert "OPENAI_BASE_URL" in line
