"""Run one server as a child: own session, bounded log, remembered pid, ends with us."""

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

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.identity import (
    KILL_SECONDS,
    POLL_SECONDS,
    Ending,
    PidFile,
    ProcessIdentity,
    end_process,
)

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT_BYTES = 1_000_000
TAIL_BYTES = 4_000
TAIL_LINES = 3

Probe = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run and how to end it. `hint` tells a person what to do when it does not run."""

    name: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str] | None = None
    ending: Ending = ((signal.SIGTERM, 10.0),)
    death_signal: signal.Signals = signal.SIGTERM
    open_files: int = 0
    hint: str = ""


class ChildProcess:
    """A running server. Its log and pid file lie in the command's folder and bear its name."""

    def __init__(self, command: Command) -> None:
        slug = command.name.lower()
        self.command = command
        self.log = command.folder / f"{slug}.log"
        self.pid_file = PidFile(command.folder / f"{slug}.pid")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's pid; EmbeddedError when it never ran."""
        if self._process is None:
            raise EmbeddedError(f"{self.command.name} is not running.")
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """What the child ended with (negative: a signal), None while it runs or before it ran."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """Start the child after stopping what an earlier run left."""
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
                env=self.command.environment,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def _launch_arguments(self) -> list[str]:
        # The kernel sends the death signal when the *thread* that forked ends, so only the main thread may ask for it.
        main = threading.current_thread() is threading.main_thread()
        wish = self.command.death_signal if main else 0
        options = [str(os.getpid()), str(int(wish)), str(self.command.open_files)]
        return [sys.executable, "-I", "-S", str(LAUNCHER), *options, *self.command.arguments]

    def _rotate_log(self) -> None:
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))

    def trim_log(self) -> None:
        """Empty a log that has grown over its limit; the child appends, so it goes on at the start."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            os.truncate(self.log, 0)

    async def stop_leftover(self) -> None:
        """Stop the process of an earlier run that the pid file remembers, if it is still that one."""
        identity = self.pid_file.living()
        if identity is not None and not self.running and not await end_process(identity, self.command.ending):
            raise EmbeddedError(f"{self.command.name} of an earlier run (pid {identity.pid}) does not end: kill it.")

    async def wait_until(self, probe: Probe, seconds: float) -> None:
        """Wait until the probe answers True; EmbeddedError when the child dies first or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.running:
                raise EmbeddedError(self.failure(f"ended at its start ({self.describe_exit()})"))
            if await _ask(probe, deadline - time.monotonic()):
                return
            await asyncio.sleep(POLL_SECONDS)
        raise EmbeddedError(self.failure(f"was not ready after {seconds:g} s"))

    def failure(self, what: str) -> str:
        """Return one line: what happened, the last words of the log, what to do."""
        words = self.log_tail() or "no output"
        return f"{self.command.name} {what}: {words} (log: {self.log}). {self.command.hint}".strip()

    def describe_exit(self) -> str:
        """Name the exit status or the signal that ended the child."""
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
        """End the child with its signals, at last with SIGKILL; harmless when it has ended."""
        if self.running:
            self.resume()
            for number, seconds in (*self.command.ending, (signal.SIGKILL, KILL_SECONDS)):
                self.send(number)
                if await self._ended(seconds):
                    break
        self.pid_file.remove()

    async def kill(self) -> None:
        """End the child as a crash would."""
        self.send(signal.SIGKILL)
        await self._ended(KILL_SECONDS)

    def abandon(self) -> None:
        """Kill the child without a loop to wait in, for the last moment of an interpreter."""
        if self._process is not None and self.running:
            self._process.kill()
            self._process.wait(KILL_SECONDS)

    def freeze(self) -> None:
        """Let the child hang, its sockets open."""
        self.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen child go on."""
        self.send(signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        """Signal the child if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    @property
    def identity(self) -> ProcessIdentity | None:
        """How to know the running child again."""
        return ProcessIdentity.of(self.pid) if self.running else None

    async def _ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.running:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True


async def _ask(probe: Probe, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(seconds, POLL_SECONDS)):
            return await probe()
    except TimeoutError:
        return False
