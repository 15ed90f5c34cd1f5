"""Server as a child process: own session, bounded log, PID file, and the same lifetime as its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.errors import EmbeddedError, remedy_for
from parley_embedded.process.environment import child_environment
from parley_embedded.process.pid_file import (
    KILL_TIMEOUT,
    POLL_INTERVAL,
    PidFile,
    ProcessIdentity,
    StopSequence,
    stop_process,
)

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT_BYTES = 1_000_000
TAIL_BYTES = 4_000
TAIL_LINES = 3

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True)
class ServerCommand:
    """Program of a server and how to stop it. `hint` tells a person what to do when the server does not run.

    Without an `environment`, the child gets the allowed variables of its parent.
    """

    name: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str] | None = None
    stop_sequence: StopSequence = ((signal.SIGTERM, 10.0),)
    death_signal: signal.Signals = signal.SIGTERM
    open_files: int = 0
    hint: str = ""


class ChildProcess:
    """A server process. Its log and PID file are in the command's folder and have the command's name."""

    def __init__(self, command: ServerCommand) -> None:
        slug = command.name.lower()
        self.command = command
        self.log = command.folder / f"{slug}.log"
        self.pid_file = PidFile(command.folder / f"{slug}.pid")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process ID; EmbeddedError before the first start."""
        if self._process is None:
            raise EmbeddedError(f"{self.command.name} is not running.")
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status (negative: a signal); None while the child runs and before its first start."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether the child has started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def identity(self) -> ProcessIdentity | None:
        """The identity of the running child."""
        return ProcessIdentity.of(self.pid) if self.running else None

    async def start(self) -> None:
        """Stop what an earlier run left running, then start the child."""
        await self.stop_leftover()
        self._rotate_log()
        self._process = self._spawn()
        self.pid_file.write(self._process.pid)

    def _spawn(self) -> subprocess.Popen[bytes]:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                self._launch_arguments(),
                cwd=self.command.folder,
                env=_environment(self.command),
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def _launch_arguments(self) -> list[str]:
        # The kernel sends the death signal when the *thread* that forked ends, so only the main thread may request it.
        is_main = threading.current_thread() is threading.main_thread()
        death_signal = self.command.death_signal if is_main else 0
        options = [str(os.getpid()), str(int(death_signal)), str(self.command.open_files)]
        return [sys.executable, "-I", "-S", str(LAUNCHER), *options, *self.command.arguments]

    def _rotate_log(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))

    def trim_log(self) -> None:
        """Empty a log that exceeds its limit. The child appends, so it continues at the start of the file."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            os.truncate(self.log, 0)

    async def stop_leftover(self) -> None:
        """Stop the process of an earlier run that the PID file names."""
        identity = self.pid_file.read_running()
        if identity is not None and not self.running and not await stop_process(identity, self.command.stop_sequence):
            raise EmbeddedError(
                f"{self.command.name} of an earlier run (process {identity.pid}) does not stop. Kill that process."
            )

    async def wait_until(self, probe: Probe, seconds: float) -> None:
        """Wait until the probe returns True; EmbeddedError when the child ends first or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running:
                raise EmbeddedError(self.failure(f"ended during its start ({self.describe_exit()})"))
            if await _run_probe(probe, deadline - time.monotonic()):
                return
            await asyncio.sleep(POLL_INTERVAL)
        raise EmbeddedError(self.failure(f"was not ready after {seconds:g} s"))

    def failure(self, event: str) -> str:
        """Return one line: what happened, the end of the log, what to do."""
        tail = self.log_tail() or "no output"
        return f"{self.command.name} {event}: {tail} (log: {self.log}). {remedy_for(tail, self.command.hint)}".strip()

    def describe_exit(self) -> str:
        """Return the exit status, or the name of the signal that ended the child."""
        status = self.exit_status
        if status is None or status >= 0:
            return f"exit status {status}"
        return signal.Signals(-status).name

    def log_tail(self) -> str:
        """Return the last lines of the log as one line."""
        if not self.log.exists():
            return ""
        text = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-TAIL_LINES:])

    async def stop(self) -> None:
        """Stop the child with its stop sequence, then with SIGKILL. Does nothing when the child has ended."""
        if self.running:
            self.resume()
            for number, timeout in (*self.command.stop_sequence, (signal.SIGKILL, KILL_TIMEOUT)):
                self.send(number)
                if await self._has_ended(timeout):
                    break
        self.pid_file.remove()

    async def kill(self) -> None:
        """Kill the child, as a crash does."""
        self.send(signal.SIGKILL)
        await self._has_ended(KILL_TIMEOUT)

    def abandon(self) -> None:
        """Kill the child without an event loop, for use while the interpreter exits."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait(KILL_TIMEOUT)

    def freeze(self) -> None:
        """Suspend the child. Its sockets stay open."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended child."""
        self.send(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    async def _has_ended(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while self.running:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_INTERVAL)
        return True


def _environment(command: ServerCommand) -> Mapping[str, str]:
    return child_environment() if command.environment is None else command.environment


async def _run_probe(probe: Probe, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(seconds, POLL_INTERVAL)):
            return await probe()
    except TimeoutError:
        return False
