"""Child processes: start, identity, log and termination."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.child import LAUNCHER, LOG_LIMIT_BYTES, ChildProcess, ServerCommand
from parley_embedded.process.pid_file import PidFile, ProcessIdentity, processes_in
from parley_embedded.process.tool import run_tool
from parley_testing import eventually

READY = "touch ready; "
ORPHAN = """
import asyncio, pathlib, sys, time
from parley_embedded.process.child import ChildProcess, ServerCommand

folder = pathlib.Path(sys.argv[1])
child = ChildProcess(ServerCommand(name="Orphan", arguments=["sleep", "600"], folder=folder))
asyncio.run(child.start())
print("started", flush=True)
time.sleep(600)
"""


def shell(folder: Path, script: str, **options: object) -> ChildProcess:
    command = ServerCommand(name="Shell", arguments=["sh", "-c", script], folder=folder, **options)  # type: ignore[arg-type]
    return ChildProcess(command)


async def wait_ready(child: ChildProcess) -> None:
    async def ready() -> bool:
        return (child.command.folder / "ready").exists()

    await child.wait_until(ready, 10)


async def never() -> bool:
    return False


async def test_a_child_that_ends_during_its_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = shell(tmp_path, "echo cannot bind; exit 3", hint="Try another.")
    await child.start()
    with pytest.raises(
        EmbeddedError, match=r"Shell ended during its start \(exit status 3\): cannot bind .*Try another\.$"
    ):
        await child.wait_until(never, 10)


async def test_a_missing_program_is_reported_in_one_line(tmp_path: Path) -> None:
    child = ChildProcess(ServerCommand(name="Nothing", arguments=["/does/not/exist"], folder=tmp_path))
    await child.start()
    with pytest.raises(EmbeddedError, match="cannot run /does/not/exist: No such file") as caught:
        await child.wait_until(never, 10)
    assert "\n" not in str(caught.value)


async def test_a_child_that_does_not_become_ready_is_reported(tmp_path: Path) -> None:
    child = shell(tmp_path, "exec sleep 600")
    await child.start()
    with pytest.raises(EmbeddedError, match=r"was not ready after 0\.1 s: no output"):
        await child.wait_until(never, 0.1)
    await child.stop()
    assert child.describe_exit() == "SIGTERM"


async def test_a_child_that_ignores_its_signals_is_killed(tmp_path: Path) -> None:
    ending = ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1))
    child = shell(tmp_path, f"trap '' TERM INT; {READY} while :; do sleep 0.1; done", stop_sequence=ending)
    await child.start()
    await wait_ready(child)
    await child.stop()
    assert child.describe_exit() == "SIGKILL"
    assert not child.pid_file.path.exists()


async def test_a_frozen_child_can_be_stopped(tmp_path: Path) -> None:
    child = shell(tmp_path, f"trap 'exit 7' TERM; {READY} while :; do sleep 0.05; done")
    await child.start()
    await wait_ready(child)
    child.freeze()
    await child.stop()
    assert child.exit_status == 7


async def test_ctrl_c_in_the_terminal_does_not_reach_the_child(tmp_path: Path) -> None:
    child = shell(tmp_path, "exec sleep 600")
    await child.start()
    assert os.getsid(child.pid) == child.pid
    await child.stop()


async def test_a_child_gets_its_limit_of_open_files(tmp_path: Path) -> None:
    child = shell(tmp_path, f"ulimit -n; {READY} exec sleep 600", open_files=64)
    await child.start()
    await wait_ready(child)
    assert child.log_tail() == "64"
    await child.stop()


def test_a_lower_hard_limit_of_open_files_stays() -> None:
    launch = [
        "bash",
        "-c",
        'ulimit -n 64; exec "$@"',
        "bash",
        sys.executable,
        str(LAUNCHER),
        str(os.getpid()),
        "0",
        "4096",
    ]
    done = subprocess.run([*launch, "sh", "-c", "ulimit -n"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "64\n"


async def test_an_interrupt_stops_the_child_of_a_background_process(tmp_path: Path) -> None:
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = shell(tmp_path, f"{READY} exec sleep 600", stop_sequence=((signal.SIGINT, 10.0),))
        await child.start()
    finally:
        signal.signal(signal.SIGINT, ignored)
    await wait_ready(child)
    await child.stop()
    assert child.describe_exit() == "SIGINT"


async def test_a_start_stops_the_process_of_an_earlier_run(tmp_path: Path) -> None:
    lost = shell(tmp_path, "exec sleep 600")
    await lost.start()
    found = shell(tmp_path, "exec sleep 600")
    await found.start()
    assert lost.describe_exit() == "SIGTERM"
    await found.stop()


def test_a_process_with_a_reused_pid_is_not_mistaken_for_the_child(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "server.pid")
    mine = ProcessIdentity.of(os.getpid())
    assert mine is not None
    file.write(mine.pid)
    assert file.read_running() == mine
    file.path.write_text(f"{mine.pid} {mine.started - 1} {mine.boot}")
    assert file.read_running() is None
    file.path.write_text("garbage")
    assert file.read_running() is None


async def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        await asyncio.wait_for(asyncio.to_thread(parent.stdout.readline), 20)
        orphan = PidFile(tmp_path / "orphan.pid").read_running()
        assert orphan is not None
        parent.kill()
    await eventually(lambda: not orphan.is_alive())


async def test_a_log_over_its_limit_is_emptied_while_the_child_writes(tmp_path: Path) -> None:
    child = shell(tmp_path, f"head -c {LOG_LIMIT_BYTES + 1} /dev/zero; {READY} read x < go; echo later; exec sleep 600")
    os.mkfifo(tmp_path / "go")
    await child.start()
    await wait_ready(child)
    child.trim_log()
    await asyncio.to_thread((tmp_path / "go").write_text, "go\n")
    await eventually(lambda: child.log.read_bytes() == b"later\n")
    await child.stop()


async def test_processes_are_found_by_their_folder_and_program(tmp_path: Path) -> None:
    child = shell(tmp_path, "exec sleep 600")
    await child.start()
    await eventually(lambda: [found.pid for found in processes_in(tmp_path, "sleep")] == [child.pid])
    assert list(processes_in(tmp_path, "postgres")) == []
    await child.stop()


async def test_a_tool_that_takes_too_long_is_killed() -> None:
    status, output = await run_tool("sleep", "600", seconds=0.1)
    assert (status, output) == (124, "sleep took longer than 0.1 s")


async def test_a_missing_tool_returns_status_127() -> None:
    status, output = await run_tool("/does/not/exist", seconds=1)
    assert (status, output) == (127, "cannot run /does/not/exist: No such file or directory")
