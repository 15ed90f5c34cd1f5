"""Open streams on one gateway process with one event per second each: memory and delay of events.

``run.py streams [--streams 5000] [--seconds 20]``. The upstream writes the time into each event; the reader takes the
difference, first of streams straight from the upstream, then of streams through the gateway.
"""

import argparse
import asyncio
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop
from stage import raise_descriptors, staged  # type: ignore[import-not-found]
from verdicts import RefusalCounter, judge  # type: ignore[import-not-found]

from parley_testing.telemetry.cpu_time import cpu_seconds

OPEN_BATCH = 100
OPEN_TIMEOUT = 120.0
MUST_KB, MUST_P99_MS = 60, 100


class EventTimer(asyncio.Protocol):
    """Reads one stream and records the delay of each event in milliseconds."""

    def __init__(self, request: bytes, note: Callable[[float], None]) -> None:
        self._request, self._note = request, note
        self.began = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if not self.began.done():
            self.began.set_result(data[9:12].decode())
        for piece in data.split(b"data: ")[1:]:
            self._note((now - int(piece.partition(b"\n")[0])) / 1e6)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.began.done():
            self.began.set_result("connection lost")


async def open_streams(
    port: int, requests: list[bytes], note: Callable[[float], None], refusals: RefusalCounter
) -> list[EventTimer]:
    """Open all streams in batches; return those that were not refused."""
    loop, readers = asyncio.get_running_loop(), []
    async with asyncio.timeout(OPEN_TIMEOUT):
        for start in range(0, len(requests), OPEN_BATCH):
            some = [EventTimer(request, note) for request in requests[start : start + OPEN_BATCH]]
            await asyncio.gather(
                *(loop.create_connection(partial(_same, reader), "127.0.0.1", port) for reader in some)
            )
            statuses = await asyncio.gather(*(reader.began for reader in some))
            for reader, status in zip(some, statuses, strict=True):
                if status == "200":
                    readers.append(reader)
                else:
                    refusals.add(status)
    return readers


async def watch(
    port: int, requests: list[bytes], seconds: float, refusals: RefusalCounter
) -> tuple[list[float], list[EventTimer]]:
    """Return the sorted delays of the events in the given seconds, and the open readers."""
    late: list[float] = []
    readers = await open_streams(port, requests, late.append, refusals)
    await asyncio.sleep(2)
    late.clear()
    await asyncio.sleep(seconds)
    return sorted(late), readers


async def main(options: argparse.Namespace) -> int:
    """Print the measurements; return the exit status."""
    raise_descriptors()
    refusals = RefusalCounter()
    connections = str(options.streams + 100)
    limits = {"MAX_STREAMS": str(options.streams), "MAX_CONNECTIONS": connections}
    limits["MAX_CONNECTIONS_PER_ADDRESS"] = connections
    async with staged(**limits, CONNECT_TIMEOUT="30") as stage:
        tokens = [stage.token() for _ in range(-(-options.streams // options.each))]
        requests = [_request(tokens[number // options.each]) for number in range(options.streams)]
        direct, readers = await watch(stage.upstream_port, requests, options.seconds, RefusalCounter())
        _close(readers)
        print(f"straight from the upstream: {_summary(direct)}", flush=True)
        before = stage.memory
        late, readers = await watch(stage.port, requests, 0, refusals)
        cpu, began = cpu_seconds(stage.gateway.pid), time.monotonic()
        late.clear()
        for reader in readers:
            reader._note = late.append
        await asyncio.sleep(options.seconds)
        used = (cpu_seconds(stage.gateway.pid) - cpu) / (time.monotonic() - began)
        kilobytes = (stage.memory - before) * 1000 / options.streams
        late.sort()
        _close(readers)
    print(f"through the gateway:        {_summary(late)}; {kilobytes:.1f} KB a stream, {used * 100:.0f} % of a CPU")
    p99 = late[len(late) * 99 // 100] if late else math.inf
    verdicts = [
        judge(f"streams: {refusals}", met=not refusals.statuses),
        judge(f"memory {kilobytes:.1f} KB a stream, most {MUST_KB}", met=kilobytes <= MUST_KB),
        judge(f"delay p99 {p99:.1f} ms, most {MUST_P99_MS}", met=p99 <= MUST_P99_MS),
    ]
    return 0 if all(verdicts) else 1


def _request(token: str) -> bytes:
    head = f"POST /api/v1/chat/stream HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n"
    return head.encode() + b"{}"


def _same(reader: EventTimer) -> EventTimer:
    return reader


def _close(readers: list[EventTimer]) -> None:
    for reader in readers:
        if reader.transport is not None:
            reader.transport.abort()


def _summary(late: list[float]) -> str:
    if not late:
        return "no event"
    p50, p99 = late[len(late) // 2], late[len(late) * 99 // 100]
    return f"{len(late):,} events, p50 {p50:.2f} ms, p99 {p99:.2f} ms late"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=5000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--each", type=int, default=1, help="streams of each user")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(uvloop.run(main(_options())))
