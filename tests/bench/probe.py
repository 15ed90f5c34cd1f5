"""Healthy client: requests at a fixed rate until its input ends, then their durations as JSON.

``python tests/bench/probe.py PORT TOKEN RATE`` prints one line of JSON: ``p50`` and ``p99`` in milliseconds, ``count``
and ``failures`` (answers other than 200, and connections that broke).
"""

import asyncio
import itertools
import json
import sys
import time
from dataclasses import dataclass, field

import uvloop

CONNECTIONS = 16
TIMEOUT = 10.0
BODY = b"grant_type=password&username=ada&password=" + b"x" * 40
CONNECTION_ERRORS = (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError)


@dataclass
class ProbeResult:
    """Durations in seconds, and errors."""

    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def report(self) -> str:
        """Return the result as one line of JSON."""
        times = sorted(self.times) or [0.0]
        kinds = {kind: self.failures.count(kind) for kind in set(self.failures)}
        return json.dumps({
            "count": len(self.times),
            "p50": times[len(times) // 2] * 1000,
            "p99": times[len(times) * 99 // 100] * 1000,
            "failures": kinds,
        })  # fmt: skip


def requests(token: str) -> tuple[bytes, ...]:
    """Return the requests sent in turn: with a token, and without a token but with a body."""
    return (
        f"GET /api/v1/models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode(),
        b"POST /api/v1/auth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY),
    )


async def worker(port: int, due: "asyncio.Queue[tuple[float, bytes]]", found: ProbeResult) -> None:
    """Send due requests over one connection; durations start at the due time."""
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while True:
        at, request = await due.get()
        try:
            async with asyncio.timeout(TIMEOUT):
                if streams is None:
                    streams = await asyncio.open_connection("127.0.0.1", port)
                status = await ask(*streams, request)
            if status != b"200":
                found.failures.append(status.decode())
        except CONNECTION_ERRORS as error:
            found.failures.append(type(error).__name__)
            if streams is not None:
                streams[1].transport.abort()
            streams = None
        found.times.append(time.perf_counter() - at)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send one request and return the status of its response."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return head[9:12]


async def main(port: int, token: str, rate: float) -> None:
    """Send requests at a fixed rate until the input ends."""
    loop, found = asyncio.get_running_loop(), ProbeResult()
    due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    workers = [asyncio.create_task(worker(port, due, found)) for _ in range(CONNECTIONS)]
    ended = loop.run_in_executor(None, sys.stdin.read)
    began, kinds = time.perf_counter(), itertools.cycle(requests(token))
    for number in itertools.count():
        at = began + number / rate
        await asyncio.sleep(max(0.0, at - time.perf_counter()))
        if ended.done():
            break
        due.put_nowait((at, next(kinds)))
    while not due.empty():
        await asyncio.sleep(0.01)
    for each in workers:
        each.cancel()
    print(found.report(), flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
