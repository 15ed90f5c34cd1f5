"""Worker processes in a process of their own: a signal while they start."""

import signal
import subprocess
import sys

import pytest

from parley_testing.stacks.commands import environment

PROGRAM = """
import os, signal, sys, time
from gateway.server.workers import WorkerProcesses
from gateway.settings import GatewaySettings

real, when = os.fork, int(sys.argv[1])

def fork():
    global when
    when -= 1
    pid = real()
    if pid and when == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return pid

os.fork = fork
settings = GatewaySettings(workers=3, port=0, redis_url="redis://127.0.0.1:9")
print(WorkerProcesses(settings, lambda *_: time.sleep(60)).run())
"""


@pytest.mark.parametrize("worker", ["1", "3"])
def test_a_signal_while_the_workers_start_stops_all_of_them(worker: str) -> None:
    command = [sys.executable, "-c", PROGRAM, worker]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.strip() == str(signal.SIGTERM.value), done.stderr
