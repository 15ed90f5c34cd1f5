"""Worker processes that share one port: started, restarted after a crash, and stopped together."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import structlog

from gateway.settings import GatewaySettings
from parley.process.descriptors import accept_backlog

log = structlog.get_logger()

MIN_LIFETIME, RESTART_DELAY = 5.0, 1.0
"""A worker that lived for less than MIN_LIFETIME seconds is restarted after RESTART_DELAY seconds."""
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
Work = Callable[[GatewaySettings, list[socket.socket]], int]
"""Runs one worker until a signal stops it, and returns the exit status."""


def listen(settings: GatewaySettings) -> socket.socket:
    """Return a socket that listens on the configured host and port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((settings.host, settings.port))
    listening.listen(accept_backlog())
    listening.set_inheritable(True)
    return listening


class WorkerProcesses:
    """The workers of one gateway. The calling process only supervises them."""

    def __init__(self, settings: GatewaySettings, work: Work) -> None:
        self._settings, self._work = settings, work
        self._running: dict[int, tuple[int, float]] = {}
        self._stopping = False
        self._listening = listen(settings)

    def run(self) -> int:
        """Supervise until all workers have stopped. Return 0 after a requested stop without errors."""
        for each in STOP_SIGNALS:
            signal.signal(each, self._on_signal)
        for number in range(self._settings.workers):
            self._start(number)
        worst = 0
        while self._running:
            pid, status = os.wait()
            if pid in self._running:
                worst = max(worst, self._on_exit(pid, os.waitstatus_to_exitcode(status)))
        return worst

    def _start(self, number: int) -> None:
        """Start a worker, unless the gateway stops. A signal meanwhile waits until the worker can be told of it."""
        former = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        pid = None if self._stopping else os.fork()
        if pid == 0:
            self._run_worker(number, former)
        if pid is not None:
            self._running[pid] = (number, time.monotonic())
        signal.pthread_sigmask(signal.SIG_SETMASK, former)

    def _run_worker(self, number: int, mask: set[int | signal.Signals]) -> NoReturn:
        status = 1
        try:
            for each in STOP_SIGNALS:
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            status = self._work(_worker_settings(self._settings, number), [self._listening])
        finally:
            sys.stdout.flush()
            os._exit(status)

    def _on_exit(self, pid: int, status: int) -> int:
        number, started = self._running.pop(pid)
        if self._stopping:
            return abs(status)
        log.warning("worker_died", service="gateway", worker=number, status=status)
        if time.monotonic() - started < MIN_LIFETIME:
            time.sleep(RESTART_DELAY)
        self._start(number)
        return 0

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        for pid in self._running:
            os.kill(pid, number)


def _worker_settings(settings: GatewaySettings, number: int) -> GatewaySettings:
    admin_port = settings.admin_port + number if settings.admin_port else 0
    return settings.model_copy(update={"admin_port": admin_port})
