"""What it costs to watch the gateway: CPU of logs, metrics and traces for each request: `make bench-watch`.

The same load meets the gateway in turn without anything (its counters do nothing), with its access log and its metrics,
which are read every second, and with traces of 5 % of the requests as well.
"""

import argparse
import asyncio
import contextlib
import importlib
import os
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway_configurations import find_nginx  # type: ignore[import-not-found]
from processes import running  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from parley_embedded.binaries.tools_folder import tools_folder
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.telemetry.cpu_time import cpu_seconds
from parley_testing.telemetry.span_collector import run_collector

MAX_WATCH_SHARE = 0.25
"""Largest share of the gateway's CPU for logs and metrics."""
MAX_TRACE_INCREASE = 0.15
TRACED = "0.05"
SCRAPE_INTERVAL = 1.0
UNCOUNTED = """
from prometheus_client import Counter, Gauge, Histogram
for kind, names in ((Counter, ["inc"]), (Gauge, ["inc", "dec", "set"]), (Histogram, ["observe"])):
    for name in names:
        setattr(kind, name, lambda self, *args, **options: None)
from gateway.main import main
main()
"""


@dataclass(frozen=True, slots=True)
class GatewayUnderWatch:
    """A gateway process and its ports."""

    pid: int
    port: int
    admin_port: int


Case = tuple[list[str], dict[str, str]]
"""A command and its settings."""


async def main() -> int:
    """Measure each case in rounds and print the shares; return the exit status."""
    options = _options()
    base: Any = importlib.import_module("gateway")  # the benchmark beside this one, not the package
    nginx = await find_nginx(tools_folder(Path.cwd(), os.environ))
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        redis = EmbeddedValkey(Path(name) / "redis", durable=False, tcp=True)
        await redis.start()
        try:
            await base.claim_revocations(redis)
            bench = base.prepare(Path(name), redis, options)
            upstream = [str(nginx), "-c", str(bench.folder / "upstream.conf"), "-p", name]
            async with running(upstream, bench.ports.upstream), run_collector() as collector:
                return 0 if await measure_all(base, bench, collector.url) else 1
        finally:
            await redis.stop()


async def measure_all(base: Any, bench: Any, collector: str) -> bool:
    """Load every gateway in short turns, so that other work on the machine meets each of them alike.

    Return whether the targets are met.
    """
    settings = base.environment(bench)
    command = [str(Path(sys.executable).parent / "parley-gateway")]
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_TRACES_SAMPLER_ARG": TRACED}
    cases: dict[str, Case] = {
        "nothing": ([sys.executable, "-c", UNCOUNTED], settings | {"LOG_LEVEL": "error"}),
        "logs": (command, settings),
        "logs and metrics": (command, settings),
        "logs, metrics, traces": (command, settings | traced),
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    async with contextlib.AsyncExitStack() as opened:
        gateways = {name: await opened.enter_async_context(started(case)) for name, case in cases.items()}
        for gateway in gateways.values():
            await measure(base, bench, gateway)  # warms up
        for _ in range(bench.options.repeat):
            for name, gateway in gateways.items():
                found[name].append(await measure(base, bench, gateway, scraped="metrics" in name))
    cost = {name: statistics.median(rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        print(f"{name:24}{cost[name]:8.1f} CPU µs a request   rounds: {' '.join(f'{each:.0f}' for each in rounds)}")
    share = 1 - cost["nothing"] / cost["logs and metrics"]
    increase = cost["logs, metrics, traces"] / cost["logs and metrics"] - 1
    verdicts = [
        judge(f"logs and metrics: {share:.0%} of the gateway's CPU, most 25 %", met=share <= MAX_WATCH_SHARE),
        judge(f"traces of 5 %: {increase:.0%} more, most 15 %", met=increase <= MAX_TRACE_INCREASE),
    ]
    return all(verdicts)


@contextlib.asynccontextmanager
async def started(case: Case) -> AsyncIterator[GatewayUnderWatch]:
    """Run a gateway on ports of its own."""
    command, settings = case
    port, admin_port = free_port(), free_port()
    ports = {"PORT": str(port), "ADMIN_PORT": str(admin_port)}
    async with running(command, port, settings | ports) as process:
        yield GatewayUnderWatch(process.pid, port, admin_port)


async def measure(base: Any, bench: Any, gateway: GatewayUnderWatch, *, scraped: bool = False) -> float:
    """Return the CPU microseconds of the gateway for each request."""
    scraping = asyncio.create_task(scrape(gateway.admin_port)) if scraped else None
    before = cpu_seconds(gateway.pid)
    load = await asyncio.to_thread(base.load_port, bench, gateway.port)
    used = cpu_seconds(gateway.pid) - before
    if scraping is not None:
        scraping.cancel()
        await asyncio.wait({scraping})
        if not scraping.cancelled():
            scraping.result()  # its failure
    return float(used / load.total * 1e6)


async def scrape(port: int) -> None:
    """Read the metrics again and again."""

    def read() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            response.read()

    while True:
        await asyncio.to_thread(read)
        await asyncio.sleep(SCRAPE_INTERVAL)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=15)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
