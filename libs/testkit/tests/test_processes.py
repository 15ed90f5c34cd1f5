"""Faults of processes: each takes effect, and one without a target fails the test."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from parley_testing.faults import processes

SERVER = """
import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
while True:
    server.accept()
"""
Start = Callable[[], "tuple[subprocess.Popen[bytes], int]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that listens; return it and its port."""
    started: list[subprocess.Popen[bytes]] = []

    def begin() -> "tuple[subprocess.Popen[bytes], int]":
        process = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        return process, int(process.stdout.readline())

    yield begin
    for process in started:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


class StubServer:
    """A server that can be started again."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self.child, self.port = start()

    async def start(self) -> None:
        self.child, self.port = self._start()


async def test_a_killed_process_is_gone_and_its_port_refuses(start: Start) -> None:
    process, port = start()
    assert not processes.port_refuses(port)
    await processes.kill(process, port=port)
    assert processes.state_of(process.pid) is None
    assert processes.port_refuses(port)
    assert process.wait(5) == -9


async def test_killing_an_ended_process_fails(start: Start) -> None:
    process, _ = start()
    await processes.kill(process)
    with pytest.raises(AssertionError, match="was gone before"):
        await processes.kill(process)
    with pytest.raises(AssertionError, match="was gone before"):
        await processes.stop(process)


async def test_a_frozen_process_is_stopped_and_goes_on_afterwards(start: Start) -> None:
    process, port = start()
    async with processes.frozen(process):
        assert processes.state_of(process.pid) == "T"
        assert not processes.port_refuses(port), "a frozen process keeps its port"
    assert processes.state_of(process.pid) in {"R", "S"}


async def test_a_frozen_process_goes_on_although_the_test_fails(start: Start) -> None:
    process, _ = start()
    with pytest.raises(LookupError):
        async with processes.frozen(process):
            raise LookupError
    assert processes.state_of(process.pid) in {"R", "S"}


async def test_a_restart_is_another_process(start: Start) -> None:
    server = StubServer(start)
    before = server.child.pid
    with pytest.raises(AssertionError, match="refuses after the restart"):
        await processes.restart(server, port=server.port)
    assert server.child.pid != before


async def test_a_server_that_did_not_start_again_fails_the_restart(start: Start) -> None:
    class Lazy(StubServer):
        async def start(self) -> None:
            pass

    server = Lazy(start)
    with pytest.raises(AssertionError, match="same process"):
        await processes.restart(server, port=server.port)
