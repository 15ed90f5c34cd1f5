"""Access log: one JSON line per request, written in batches."""

import asyncio
import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import orjson
import structlog

log = structlog.get_logger()

FLUSH_INTERVAL = 0.1
"""Seconds a line may wait to be written with others."""
MAX_BATCH = 500
Write = Callable[[bytes], object]


class AccessLog:
    """Collects lines and writes them in batches. ``flush`` writes at once."""

    def __init__(self, write: Write | None, *, service: str) -> None:
        """Without ``write``, each line becomes a structlog event in the configured style."""
        self._write, self._service = write, service
        self._lines: list[bytes] = []
        self._scheduled = False
        self._second, self._prefix = 0, ""

    def add(self, line: dict[str, Any]) -> None:
        """Add a line with these fields."""
        if self._write is None:
            log.info("request", **line)
            return
        self._lines.append(
            orjson.dumps({"ts": self._now(), "level": "info", "event": "request", "service": self._service, **line})
        )
        if len(self._lines) >= MAX_BATCH:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_later(FLUSH_INTERVAL, self.flush)

    def flush(self) -> None:
        """Write the collected lines."""
        self._scheduled = False
        lines, self._lines = self._lines, []
        if lines and self._write is not None:
            self._write(b"\n".join(lines) + b"\n")

    def _now(self) -> str:
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = dt.datetime.fromtimestamp(second, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._prefix}.{int((now - second) * 1_000_000):06d}Z"
