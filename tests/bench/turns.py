"""CPU time of a durable turn and its delay to history, beside LiteLLM's proxy, which stores nothing: ``run.py turns``.

First a closed loop of answers, whole or streamed, through every service (a process each) with their servers: the CPU
that the kernel counted for each process until history had stored the last one. LiteLLM gets the same questions for the
same provider, when ``litellm`` is on the PATH. Then an open loop: how long after its end a turn is in history, and how
long a user waits who reads an answer back with ``wait_for``. Exits with 1 above what must be.
"""

import argparse
import asyncio
import math
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import uvloop
from processes import running  # type: ignore[import-not-found]
from tokens import PLANS, SETTINGS, request_of  # type: ignore[import-not-found]
from turn_clients import Clients, ResponseTimes  # type: ignore[import-not-found]
from turn_reader import TurnReader  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from fake_provider.process import FakeProvider
from parley_embedded.sockets import free_port
from parley_testing import eventually
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.http.client import open_http, register
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.telemetry.cpu_time import cpu_seconds

QUESTION = "bench [[fake tokens=20]]"
USERS, WARM_UP = 20, 100
MAX_SHARE_OF_STREAMS = {"Parley's processes": 1 / 6, "everything": 1 / 4}
MAX_SHARE_OF_WHOLE_ANSWERS = {"Parley's processes": 1 / 3, "everything": 2 / 3}
"""Maximum CPU time of a turn in relation to that of LiteLLM."""
MAX_DELAY = 250.0
"""Maximum milliseconds, at the 99th percentile, from a turn's end to history, and of a read with ``wait_for``."""
DRAIN_TIMEOUT = 120.0
SERVERS = ("redis", "postgres", "rabbitmq")
LITELLM = """
model_list: [{model_name: fake, litellm_params: {model: openai/fake, api_base: %s, api_key: none}}]
general_settings: {master_key: sk-bench}
"""
DELAYS = """
SELECT extract(epoch FROM i.received_at - f.time) * 1000 AS delay FROM inbox i JOIN feed f USING (event_id)
WHERE f.name = 'conversation.turn.completed' ORDER BY f.time DESC LIMIT $1
"""


@dataclass
class Product:
    """A running Parley: its clients, measured processes and databases."""

    clients: Clients
    reader: TurnReader
    processes: Mapping[str, int]
    servers: Mapping[str, int]
    history: asyncpg.Connection
    asked: int = 0

    async def stored(self) -> None:
        """Wait until history has every turn; print how many are missing after ``DRAIN_TIMEOUT``."""
        try:
            await eventually(self._all_are_stored, within=DRAIN_TIMEOUT)
        except (AssertionError, TimeoutError):
            stored = await self.history.fetchval("SELECT count(*) FROM turns")
            print(f"{self.asked - stored:,} of {self.asked:,} turns are not stored after {DRAIN_TIMEOUT:.0f} s")

    async def _all_are_stored(self) -> bool:
        return bool(await self.history.fetchval("SELECT count(*) FROM turns") >= self.asked)

    async def closed_loop(self, at_once: int, seconds: float) -> ResponseTimes:
        """Run the load and wait until all turns are stored."""
        load = await self.clients.closed_loop(at_once, seconds)
        self.asked += len(load.took)
        await self.stored()
        return load


async def run(options: argparse.Namespace) -> int:
    """Print the measurements; return the exit status."""
    async with SharedBackends() as backends, FakeProvider() as provider:
        litellm = await measure_litellm(provider, options)
        path = "/api/v1/chat/stream" if options.stream else "/api/v1/chat"
        async with product(backends, provider, path) as parley:
            costs = await measure_cost(parley, options)
            most = MAX_SHARE_OF_STREAMS if options.stream else MAX_SHARE_OF_WHOLE_ANSWERS
            met = [_cheap_enough(costs, litellm, most)] if litellm else []
            met.append(await measure_delay(parley, options))
    return 0 if all(met) else 1


async def measure_litellm(provider: FakeProvider, options: argparse.Namespace) -> float | None:
    """Return the CPU milliseconds per response of LiteLLM's proxy; None if it is not installed."""
    program = shutil.which("litellm")
    if program is None:
        print("litellm: left out (pip install 'litellm[proxy]' into an environment of its own, and put it on the PATH)")
        return None
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as configuration:
        configuration.write(LITELLM % f"{provider.base_url}")
        configuration.flush()
        command = [program, "--config", configuration.name, "--host", "127.0.0.1", "--port", str(port)]
        extra = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        async with running(command, port, extra, within=120) as process:
            body = {"model": "fake", "messages": [{"role": "user", "content": QUESTION}], "stream": options.stream}
            request = request_of(f"http://127.0.0.1:{port}", "/v1/chat/completions", body, "sk-bench")
            clients = Clients(port, [request])
            await clients.closed_loop(options.clients, 3)
            before = cpu_seconds(process.pid)
            load = await clients.closed_loop(options.clients, options.seconds)
            cost = (cpu_seconds(process.pid) - before) / max(1, len(load.took)) * 1000
    print(f"litellm: {load}; {cost:.2f} ms CPU an answer", flush=True)
    return float(cost)


@asynccontextmanager
async def product(backends: SharedBackends, provider: FakeProvider, path: str) -> AsyncIterator[Product]:
    """Run every service in a context, warmed up."""
    infrastructure = BackendUrls(await backends.database_url(), await backends.redis_url(), await backends.amqp_url())
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        plans = Path(folder) / "plans.yaml"
        plans.write_text(PLANS)
        settings = {**SETTINGS, "PLANS_FILE": str(plans)}
        async with (
            SeparateStack(Path(folder), infrastructure, provider.base_url, settings=settings) as stack,
            open_http(stack.url) as http,
        ):
            users = [await register(http) for _ in range(USERS)]
            tokens = [str(user.tokens["access_token"]) for user in users]
            requests = [request_of(stack.url, path, {"message": QUESTION}, token) for token in tokens]
            history = await asyncpg.connect(stack.database_url("history"))
            found = Product(
                Clients(stack.gateways[0].port, requests),
                TurnReader(await register(http), QUESTION),
                {replica.name: replica.child.pid for replica in stack.everything},
                {name: backends._servers[name].child.pid for name in SERVERS},
                history,
            )
            try:
                await found.closed_loop(8, 3)
                yield found
            finally:
                await history.close()


async def measure_cost(parley: Product, options: argparse.Namespace) -> dict[str, float]:
    """Return the CPU milliseconds per turn: of Parley's processes, and including the backends."""
    every = {**parley.processes, **parley.servers}
    before = {name: cpu_seconds(pid) for name, pid in every.items()}
    load = await parley.closed_loop(options.clients, options.seconds)
    costs = {name: (cpu_seconds(pid) - before[name]) / max(1, len(load.took)) * 1000 for name, pid in every.items()}
    total = {"Parley's processes": sum(costs[name] for name in parley.processes), "everything": sum(costs.values())}
    print(f"parley: {load}; stored, with events", flush=True)
    print("ms CPU a turn: " + ", ".join(f"{name} {cost:.2f}" for name, cost in {**costs, **total}.items()), flush=True)
    return total


def _cheap_enough(costs: Mapping[str, float], litellm: float, most: Mapping[str, float]) -> bool:
    ratios = {name: costs[name] / litellm for name in most}
    verdicts = [
        judge(f"{name} / litellm: {ratios[name]:.3f}, most {share:.3f}", met=ratios[name] <= share)
        for name, share in most.items()
    ]
    return all(verdicts)


async def measure_delay(parley: Product, options: argparse.Namespace) -> bool:
    """Return whether turns are stored in time at a fixed rate."""
    load, _ = await asyncio.gather(
        parley.clients.open_loop(options.rate, options.steady), parley.reader.run(options.steady)
    )
    parley.asked += len(load.took) + parley.reader.asked
    await parley.stored()
    delays = sorted(float(row["delay"]) for row in await parley.history.fetch(DELAYS, len(load.took)))
    steady = judge(
        f"steady: {load} of {options.rate:g}/s asked for, none may be refused", met=not load.refusals.statuses
    )
    points = statistics.quantiles(delays * 2 or [math.inf, math.inf], n=100)
    figures = f"p50 {points[49]:.0f} ms, p99 {points[98]:.0f} ms, longest {max(delays, default=math.inf):.0f} ms"
    stored = judge(f"turn end to history: {figures}, most {MAX_DELAY:.0f} ms", met=points[98] <= MAX_DELAY)
    return all([steady, stored, _reads_in_time(parley.reader.reads)])


def _reads_in_time(reads: ResponseTimes) -> bool:
    met = bool(reads.took) and not reads.refusals.statuses and reads.percentile(99) <= MAX_DELAY
    return bool(judge(f"read with wait_for: {reads}, most {MAX_DELAY:.0f} ms", met=met))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16, help="questions open at once in the closed loop")
    parser.add_argument("--seconds", type=float, default=15, help="length of the closed loop")
    parser.add_argument("--rate", type=float, default=150, help="turns a second in the open loop")
    parser.add_argument("--steady", type=float, default=120, help="length of the open loop in seconds")
    parser.add_argument("--stream", action="store_true", help="stream the answers")
    options = parser.parse_args()
    print(f"turns: {QUESTION!r}, {options.clients} clients, then {options.rate:g}/s; {os.cpu_count()} CPUs")
    return uvloop.run(run(options))


if __name__ == "__main__":
    sys.exit(main())
