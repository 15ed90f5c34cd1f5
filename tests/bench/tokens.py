"""CPU time of a streamed token: streams at 20 tokens/s through gateway and chat, beside the provider alone.

``python tests/bench/run.py tokens [--streams 100] [--rate 20] [--seconds 20]``; exits with 1 above what must be. CPU is
what the kernel counted for each process while every stream was under way.
"""

import argparse
import asyncio
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import uvloop
from verdicts import RefusalCounter, judge  # type: ignore[import-not-found]

from fake_provider.process import FakeProvider
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.http.client import open_http, register
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.telemetry.cpu_time import cpu_seconds

MAX_MICROSECONDS, MAX_RATIO = 100, 2.0
"""CPU microseconds of gateway and chat per streamed token, and their ratio to the provider's own."""
MAX_ADDED_GAP = 5.0
"""Milliseconds between two tokens, at the 99th percentile, more than without Parley."""
WARM_SECONDS = 3.0
SLACK_SECONDS = 8.0
"""Seconds by which a stream lasts longer than the measurement, so that none starts or ends during it."""
USERS = 10
SETTINGS = {
    "RATE_LIMIT_REQUESTS": "100000",
    "RATE_LIMIT_BURST": "10000",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "STREAMS_PER_USER": "1000",
    "MAX_CONNECTIONS_PER_ADDRESS": "10000",
    "RATE_LIMIT_PATIENCE": "1",
    "LOG_LEVEL": "warning",
}
PLANS = "default: {tokens_per_minute: null, streams: 1000, requests_per_minute: 100000, burst: 10000}\n"


@dataclass
class StreamTimes:
    """Token times of the clients of one path."""

    tokens: int = 0
    gaps: list[float] = field(default_factory=list)
    measuring: bool = False
    refusals: RefusalCounter = field(default_factory=RefusalCounter)

    def p99_gap(self) -> float:
        """Return the 99th percentile of the milliseconds between two tokens of a stream."""
        return statistics.quantiles(self.gaps, n=100)[98] * 1000 if len(self.gaps) > 1 else math.inf


class StreamClient(asyncio.Protocol):
    """Sends one request and counts the events of the response at little cost."""

    def __init__(self, seen: StreamTimes, request: bytes) -> None:
        self._seen, self._request = seen, request
        self._last = 0.0
        self.head = b""
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.head:
            self.head = data[:15]
        events, now = data.count(b"data: {"), time.perf_counter()
        if self._seen.measuring and events:
            self._seen.tokens += events
            if self._last:
                self._seen.gaps.append(now - self._last)
        self._last = now if events else self._last

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(None)


@dataclass(frozen=True, slots=True)
class TokenCost:
    """Token times, and CPU seconds by process."""

    seen: StreamTimes
    cpu: Mapping[str, float]

    def each(self, *names: str) -> float:
        """Return the CPU microseconds of the named processes per token."""
        return sum(self.cpu[name] for name in names) / max(1, self.seen.tokens) * 1e6


async def measure(
    url: str, requests: Sequence[bytes], options: argparse.Namespace, processes: Mapping[str, int]
) -> TokenCost:
    """Open a stream for each request, evenly spaced in time, and count while all are open."""
    seen, loop = StreamTimes(), asyncio.get_running_loop()
    address = urlsplit(url)
    clients = []
    transports = []
    try:
        for request in requests:
            make = partial(StreamClient, seen, request)
            transport, client = await loop.create_connection(make, str(address.hostname), address.port or 80)
            transports.append(transport)
            clients.append(client)
            await asyncio.sleep(max(0.005, 1 / options.rate / len(requests)))
        await asyncio.sleep(WARM_SECONDS)
        for client in clients:
            if client.head != b"HTTP/1.1 200 OK":
                seen.refusals.add(client.head[9:12].decode() or "no response")
        before, seen.measuring = cpu_of(processes), True
        await asyncio.sleep(options.seconds)
        seen.measuring, after = False, cpu_of(processes)
    finally:
        for transport in transports:
            transport.close()
    await asyncio.gather(*(client.closed for client in clients))
    return TokenCost(seen, {name: after[name] - before[name] for name in processes})


def cpu_of(processes: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of processes and their descendants."""
    return {name: cpu_seconds(pid) for name, pid in processes.items()}


def request_of(url: str, path: str, body: Mapping[str, Any], token: str = "-") -> bytes:
    """Return the bytes of a POST request."""
    data = orjson.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {token}\r\nAccept: text/event-stream\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


async def run(options: argparse.Namespace) -> bool:
    """Print the measurements and their verdicts; return whether all are met."""
    tokens = round((options.seconds + WARM_SECONDS + SLACK_SECONDS) * options.rate)
    message = f"bench [[fake tokens={tokens} rate={options.rate}]]"
    async with SharedBackends() as backends, FakeProvider() as provider:
        infrastructure = BackendUrls(
            await backends.database_url(), await backends.redis_url(), await backends.amqp_url()
        )
        direct = {"model": "fake", "stream": True, "messages": [{"role": "user", "content": message}]}
        path, pid = "/v1/chat/completions", provider.process.pid
        asked = [request_of(provider.url, path, direct)] * options.streams
        floor = await measure(provider.url, asked, options, {"provider": pid})
        show("provider", floor)
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            (Path(folder) / "plans.yaml").write_text(PLANS)
            settings = {**SETTINGS, "PLANS_FILE": f"{folder}/plans.yaml"}
            async with SeparateStack(Path(folder), infrastructure, provider.base_url, settings=settings) as stack:
                processes = {
                    "gateway": stack.gateways[0].child.pid,
                    "chat": stack.chat[0].child.pid,
                    "redis": backends._servers["redis"].child.pid,
                    "provider": pid,
                }
                if options.wait:
                    print(processes, flush=True)
                found = await measure(stack.url, await requests_of(stack, message, options), options, processes)
                show("Parley", found)
                return judged(found, floor)


async def requests_of(stack: SeparateStack, message: str, options: argparse.Namespace) -> list[bytes]:
    """Return a request for each stream, distributed over some users."""
    async with open_http(stack.url) as http:
        users = [await register(http) for _ in range(USERS)]
    path, body = "/api/v1/chat/stream", dict[str, Any](message=message)
    if options.openai:
        said = [{"role": "user", "content": message}]
        path, body = "/v1/chat/completions", {"model": "default", "stream": True, "messages": said}
    return [request_of(stack.url, path, body, users[i % USERS].tokens["access_token"]) for i in range(options.streams)]


def judged(found: TokenCost, floor: TokenCost) -> bool:
    """Print each figure with its target; return whether all are met. The floor is the provider without Parley."""
    cost = found.each("gateway", "chat")
    ratio, gap = cost / floor.each("provider"), found.seen.p99_gap() - floor.seen.p99_gap()
    return all([
        judge(f"streams: {found.seen.refusals}", met=not found.seen.refusals.statuses),
        judge(f"gateway and chat {cost:.1f} us a token, most {MAX_MICROSECONDS}", met=cost <= MAX_MICROSECONDS),
        judge(f"their CPU / the provider's: {ratio:.2f}, most {MAX_RATIO}", met=ratio <= MAX_RATIO),
        judge(f"added gap p99 {gap:.1f} ms, most {MAX_ADDED_GAP}", met=gap <= MAX_ADDED_GAP),
    ])  # fmt: skip


def show(name: str, found: TokenCost) -> None:
    """Print one result."""
    costs = "   ".join(f"{process} {found.each(process):6.1f}" for process in found.cpu)
    print(f"{name:<9} {found.seen.tokens:7,} tokens   gap p99 {found.seen.p99_gap():6.1f} ms   CPU us/token: {costs}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rate", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--openai", action="store_true", help="stream /v1/chat/completions instead of /api/v1")
    parser.add_argument("--wait", action="store_true", help="print the process ids, for a profiler")
    options = parser.parse_args()
    print(
        f"tokens: {options.streams} streams at {options.rate}/s for {options.seconds:g} s, one gateway, one chat,"
        f" Python {platform.python_version()}, {os.cpu_count()} CPUs, {SETTINGS}"
    )
    return 0 if uvloop.run(run(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
