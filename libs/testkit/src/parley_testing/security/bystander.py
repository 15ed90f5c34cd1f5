"""A bystander: a client in a process of its own that measures how fast the product answers while others attack it."""

import asyncio
import contextlib
import http.client
import json
import math
import select
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import urlsplit

INTERVAL = 0.01
"""Seconds between two requests of the bystander."""
TIMEOUT = 150.0


@dataclass(frozen=True, slots=True)
class Responsiveness:
    """Latencies in milliseconds over one period, and the statuses of the answers; 0 is a broken connection."""

    requests: int
    p99: float
    statuses: dict[int, int]

    @property
    def failures(self) -> int:
        """The number of answers other than 200."""
        return sum(count for status, count in self.statuses.items() if status != http.client.OK)


class Bystander:
    """The running process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def measure(self) -> Responsiveness:
        """Return what happened since the last call. A request that is waiting ends first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"\n")
        await self._process.stdin.drain()
        found = json.loads(await self._process.stdout.readline())
        latencies = sorted(found["latencies"])
        statuses = {int(status): count for status, count in found["statuses"].items()}
        return Responsiveness(sum(statuses.values()), _p99(latencies), statuses)


@contextlib.asynccontextmanager
async def watch(url: str, path: str, headers: dict[str, str]) -> AsyncIterator[Bystander]:
    """Run a bystander that asks for ``path`` until the block ends."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, url, path, json.dumps(headers)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Bystander(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


def _p99(latencies: list[float]) -> float:
    return latencies[max(0, math.ceil(0.99 * len(latencies)) - 1)]


def _spread(elapsed: float) -> list[float]:
    """Return a latency with those of the requests that would have waited too, had there been one in each interval."""
    return [1000 * (elapsed - n * INTERVAL) for n in range(1 + int(elapsed / INTERVAL))]


def main(url: str, path: str, headers: str) -> None:
    """Send requests one after the other. For each line of standard input, print and forget what was measured."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT)
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    while True:
        started = time.perf_counter()
        try:
            connection.request("GET", path, headers=json.loads(headers))
            response = connection.getresponse()
            response.read()
            statuses[response.status] += 1
        except (OSError, http.client.HTTPException):
            connection.close()
            statuses[0] += 1
        latencies += _spread(time.perf_counter() - started)
        if select.select([sys.stdin], [], [], INTERVAL)[0]:
            if not sys.stdin.readline():
                return
            sys.stdout.write(json.dumps({"latencies": latencies, "statuses": statuses}) + "\n")
            sys.stdout.flush()
            latencies, statuses = [], Counter()


if __name__ == "__main__":
    main(*sys.argv[1:])
