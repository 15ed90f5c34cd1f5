"""Embedded profile after SIGKILL of every process, at a second start, and after Ctrl-C."""

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
from parley_testing.http.client import open_http, register
from parley_testing.stacks.commands import command_path, environment
from parley_testing.stacks.embedded import EmbeddedStack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
async def stack(provider: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    """The stack of all tests in this module; the last one stops it."""
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


@pytest.mark.chaos
async def test_a_second_run_in_the_same_folder_names_the_first(stack: EmbeddedStack) -> None:
    status, output = await run_tool(
        command_path("parley"),
        *("run", "--data-dir", str(stack.folder / "data"), "--port", "38100", "--admin-port", "39100"),
        seconds=30,
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
            seconds=60,
            environment=environment(),
        )
        statuses.append(status)
        if len(statuses) == 1:
            assert f"http://localhost:{stack.port}/reset#token=prs_" in output
    assert statuses == [0, 3]
    assert not list((stack.folder / "data").glob("**/*.sock"))
