"""Memory of one gateway process over many requests, measured after each 100,000.

``run.py soak --requests 1000000``; fails when the last figure is more than MAX_GROWTH_MB above the first.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from stage import Stage, staged  # type: ignore[import-not-found]
from verdicts import RefusalCounter, judge  # type: ignore[import-not-found]
from wrk import run_wrk  # type: ignore[import-not-found]

USERS, CONNECTIONS = 64, 64
STEP = 100_000
SLICE_SECONDS = 5
MAX_GROWTH_MB = 3.0
PATH = "/api/v1/models"


async def main() -> int:
    """Load the gateway and print its memory; return the exit status."""
    options, refusals = _options(), RefusalCounter()
    async with staged() as stage:
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            script = Path(folder) / "load.lua"
            script.write_text(_script(stage))
            print(f"start      {stage.memory:6.1f} MB", flush=True)
            figures = soak(stage, script, options.requests, refusals)
    growth = figures[-1] - figures[0]
    text = f"growth from the first to the last figure: {growth:+.1f} MB, most {MAX_GROWTH_MB}"
    return (
        0 if judge(text, met=growth <= MAX_GROWTH_MB) & judge(f"requests: {refusals}", met=not refusals.statuses) else 1
    )


def soak(stage: Stage, script: Path, requests: int, refusals: RefusalCounter) -> list[float]:
    """Return the resident memory after each step."""
    figures: list[float] = []
    done, began = 0, time.monotonic()
    while done < requests:
        done += _load(stage.port, script, refusals)
        if done // STEP > len(figures):
            figures.append(stage.memory)
            rate = done / (time.monotonic() - began)
            print(f"{done:10,} {figures[-1]:6.1f} MB   {rate:,.0f} requests/s", flush=True)
    return figures or [stage.memory]


def _load(port: int, script: Path, refusals: RefusalCounter) -> int:
    found = run_wrk(f"http://127.0.0.1:{port}{PATH}", script, connections=CONNECTIONS, seconds=SLICE_SECONDS)
    if found.errors != "none":
        refusals.add(found.errors)
    return int(found.total)


def _script(stage: Stage) -> str:
    tokens = ",".join(f'"Bearer {stage.token()}"' for _ in range(USERS))
    return (
        f"local tokens = {{{tokens}}}\nlocal n = 0\nrequest = function()\n  n = n % {USERS} + 1\n"
        '  return wrk.format("GET", nil, {["Authorization"] = tokens[n]})\nend\n'
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
