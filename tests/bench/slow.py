"""A thousand slow clients, and their effect on a healthy one: ``run.py slow``.

slowhttptest (the system's, or Debian's package unpacked into the tools folder) attacks a gateway process with slow
heads, slow bodies and slow reading, while a healthy client asks at a steady pace of the same services. Fails unless
all slow clients are closed at their deadline, every healthy request succeeds, its p99 is at most twice that without
an attack, and memory stays within a bound for each connection.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stage import FOLDER, Stage, staged  # type: ignore[import-not-found]
from upstream import LARGE  # type: ignore[import-not-found]
from verdicts import judge  # type: ignore[import-not-found]

from parley_embedded.binaries.debian import unpack_debian
from parley_embedded.binaries.tools_folder import tools_folder

RATE = 200
"""Requests per second of the healthy client."""
MAX_SLOWDOWN, MAX_KB = 2.0, 256
CLOSE_TIMEOUT = 3.0
"""Seconds after the last deadline within which all must be closed; slowhttptest checks every half second."""
ATTACKS = {
    "slow heads": ["-H", "-i", "5", "-u", "{url}/api/v1/models"],
    "slow bodies": ["-B", "-i", "2", "-s", "8192", "-x", "10", "-u", "{url}/api/v1/auth/token"],
    "slow reading": ["-X", "-k", "1", "-n", "5", "-z", "32", "-w", "512", "-y", "1024", "-u", "{url}" + LARGE],
}
DEADLINES = {"slow heads": 10.0, "slow bodies": 10.0, "slow reading": 30.0}
"""The gateway's default deadlines in seconds."""
RATES = {"slow heads": 200, "slow bodies": 200, "slow reading": 50}
"""Connections opened per second. All are open before the first is closed; each slow reader first moves 300 KB."""


@dataclass
class AttackResult:
    """Measurements during one attack; memory in KB per connection."""

    name: str
    most: int
    closed_after: float
    allowed_seconds: float
    memory: float
    healthy: dict[str, Any]


async def main() -> int:
    """Run each attack and print its result; return the exit status."""
    options = _options()
    program = await find_slowhttptest()
    async with staged() as stage:
        await healthy_for(stage, 3)
        quiet = [await healthy_for(stage, options.seconds)]
        print(f"healthy client alone: {_times(quiet[0])}", flush=True)
        results = []
        for name in ATTACKS:
            if name.startswith(options.only):
                results.append(await attack(stage, program, name, options))
                quiet.append(await healthy_for(stage, options.seconds))
                print(f"healthy client alone: {_times(quiet[-1])}", flush=True)
    return _judge(results, quiet, options.connections)


async def attack(stage: Stage, program: Path, name: str, options: argparse.Namespace) -> AttackResult:
    """Run slowhttptest until the gateway has closed all its connections."""
    before, memory_before, most_memory, most = stage.connections(), stage.memory, 0.0, 0
    allowed_seconds = DEADLINES[name] + CLOSE_TIMEOUT
    words = [word.format(url=f"http://127.0.0.1:{stage.port}") for word in ATTACKS[name]]
    limits = [
        "-c",
        str(options.connections),
        "-r",
        str(options.rate or RATES[name]),
        "-l",
        str(int(allowed_seconds + 40)),
        "-p",
        "20",
    ]
    async with healthy(stage) as found:
        process = subprocess.Popen([str(program), *words, *limits], stdout=subprocess.DEVNULL)
        began = last_opened = time.monotonic()
        closed_after = float("inf")
        try:
            while closed_after == float("inf") and time.monotonic() < began + allowed_seconds + 30:
                await asyncio.sleep(0.25)
                now = stage.connections() - before
                most_memory = max(most_memory, stage.memory)
                if now > most:
                    most, last_opened = now, time.monotonic()
                # The kernel delivers buffered bytes for a while longer, so slowhttptest ends later.
                if most > options.connections / 2 and now < options.connections / 10:
                    closed_after = time.monotonic() - last_opened
        finally:
            process.kill()
            process.wait()
    kilobytes = (most_memory - memory_before) * 1000 / options.connections
    result = AttackResult(name, most, closed_after, allowed_seconds, kilobytes, found[0])
    print(
        f"{name}: at most {most} descriptors more, all closed {closed_after:.1f} s after the last was opened"
        f" (must {allowed_seconds:.1f}), {kilobytes:.0f} KB each; healthy client: {_times(found[0])}",
        flush=True,
    )
    return result


@contextlib.asynccontextmanager
async def healthy(stage: Stage) -> AsyncIterator[list[dict[str, Any]]]:
    """Run the healthy client in a context; at its end the list holds the results."""
    command = [sys.executable, str(FOLDER / "probe.py"), str(stage.port), stage.token(), str(RATE)]
    found: list[dict[str, Any]] = []
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield found
    finally:
        output, _ = await process.communicate(b"")
        found.append(json.loads(output))


async def healthy_for(stage: Stage, seconds: float) -> dict[str, Any]:
    """Return the results of the healthy client without other load."""
    async with healthy(stage) as found:
        await asyncio.sleep(seconds)
    return found[0]


def _judge(results: list[AttackResult], quiet: list[dict[str, Any]], connections: int) -> int:
    verdicts: list[bool] = []
    for number, result in enumerate(results):
        # The machine may have other load: compare with the healthy client right before and right after.
        alone = (quiet[number]["p99"] + quiet[number + 1]["p99"]) / 2
        slower = result.healthy["p99"] / alone
        verdicts += [
            judge(f"{result.name}: {text}", met=met)
            for text, met in (
                (f"{sum(result.healthy['failures'].values())} healthy requests failed", not result.healthy["failures"]),
                (f"p99 {slower:.2f} times that without an attack, most {MAX_SLOWDOWN}", slower <= MAX_SLOWDOWN),
                (f"closed in {result.allowed_seconds:.1f} s", result.closed_after <= result.allowed_seconds),
                (f"memory {result.memory:.0f} KB each, most {MAX_KB}", result.memory <= MAX_KB),
                (f"{result.most} of {connections} connections came through", result.most >= connections * 0.9),
            )
        ]
    return 0 if all(verdicts) else 1


def _times(found: dict[str, Any]) -> str:
    failures = f", failures {found['failures']}" if found["failures"] else ""
    return f"{found['count']} requests, p50 {found['p50']:.2f} ms, p99 {found['p99']:.2f} ms{failures}"


async def find_slowhttptest() -> Path:
    """Return the system's slowhttptest, or Debian's, unpacked into the tools folder."""
    found = shutil.which("slowhttptest")
    if found:
        return Path(found)
    tools = tools_folder(Path.cwd(), os.environ)
    root = await unpack_debian("slowhttptest", ["slowhttptest"], tools, hint="Install slowhttptest.")
    return root / "usr/bin/slowhttptest"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rate", type=int, help="slow connections opened a second, for every attack")
    parser.add_argument("--seconds", type=float, default=10, help="how long the healthy client is measured alone")
    parser.add_argument("--only", default="", help="only attacks whose name begins so")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
