"""Latency in an open loop: requests at a fixed rate over many connections.

``run.py latency``: h2load (the system's, or Debian's package unpacked into the tools folder) keeps its pace against one
gateway process; fails when p50 or p99 is over its bound, or any request failed, or the pace was not kept.

The connections are opened over a second: opened at once they would send in step, a thousand requests in one moment.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stage import Stage, staged  # type: ignore[import-not-found]

from parley_embedded.binaries.debian import library_folders, unpack_debian
from parley_embedded.binaries.tools_folder import tools_folder

PATH = "/api/v1/models"
WARM_UP = 3
PERIOD, OPEN_BATCHES = 10, 100
"""Milliseconds between two batches of new connections, and the number of batches."""
MIN_RATE_RATIO = 0.95
"""Minimum share of the rate for the loop to count as open."""
MOST_P50, MOST_P99 = 3.0, 30.0
"""Milliseconds."""
OK, SECOND = 200, 1_000_000


class LoggedAnswer(NamedTuple):
    """A line of h2load's log: start in microseconds, status, and duration in microseconds."""

    began: int
    status: int
    took: int


@dataclass
class Answers:
    """Results of h2load: sorted milliseconds, the number of responses other than 200, and the rate per second."""

    times: list[float]
    failed: int
    rate: float

    def percentile(self, percent: int) -> float:
        """Return a percentile in milliseconds."""
        return statistics.quantiles(self.times, n=100)[percent - 1]


async def main() -> int:
    """Measure the upstream alone and through the gateway; return the exit status."""
    options = _options()
    environment, program = await find_h2load()
    async with staged() as stage:
        direct = load(stage, stage.upstream_port, options, program, environment)
        show("upstream alone", direct, options)
        through = load(stage, stage.port, options, program, environment)
        show("through the gateway", through, options)
    kept = min(direct.rate, through.rate) >= MIN_RATE_RATIO * options.rate
    met = through.percentile(50) <= MOST_P50 and through.percentile(99) <= MOST_P99 and not through.failed and kept
    print(f"must: p50 {MOST_P50:.0f} ms, p99 {MOST_P99:.0f} ms, none failed: {'met' if met else 'missed'}")
    return 0 if met else 1


def load(stage: Stage, port: int, options: argparse.Namespace, program: Path, environment: dict[str, str]) -> Answers:
    """Send requests at a fixed rate; return the results after the warm-up."""
    with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
        notes = Path(folder) / "answers.tsv"
        each = options.rate / options.connections
        total = options.rate * (options.seconds + WARM_UP)
        words = ["--h1", "-t1", f"-c{options.connections}", f"-n{total}", f"--rps={each:g}"]
        words += [f"-r{options.connections // OPEN_BATCHES}", f"--rate-period={PERIOD}ms"]
        words += [f"--log-file={notes}", "-H", f"authorization: Bearer {stage.token()}"]
        command = [str(program), *words, f"http://127.0.0.1:{port}{PATH}"]
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment})
        answers = [LoggedAnswer(*map(int, line.split("\t"))) for line in notes.read_text().splitlines()]
    begin = min(answer.began for answer in answers) + WARM_UP * SECOND
    seen = [answer for answer in answers if begin <= answer.began < begin + options.seconds * SECOND]
    times = sorted(answer.took / 1000 for answer in seen if answer.status == OK)
    return Answers(times, sum(answer.status != OK for answer in answers), len(times) / options.seconds)


def show(name: str, answers: Answers, options: argparse.Namespace) -> None:
    """Print one result."""
    figures = (
        f"p50 {answers.percentile(50):.2f} ms, p99 {answers.percentile(99):.2f} ms, most {answers.times[-1]:.1f} ms"
    )
    pace = f"{answers.rate:,.0f}/s of {options.rate:,} over {options.connections:,}"
    print(f"{name}: {pace}, {figures}, {answers.failed} failed")


async def find_h2load() -> tuple[dict[str, str], Path]:
    """Return the environment with the path of its libraries, and the program."""
    found = shutil.which("h2load")
    if found:
        return {}, Path(found)
    tools = tools_folder(Path.cwd(), os.environ)
    root = await unpack_debian("h2load", ["nghttp2-client"], tools, hint="Install nghttp2-client.")
    return {"LD_LIBRARY_PATH": ":".join(map(str, library_folders(root)))}, root / "usr/bin/h2load"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=3000, help="requests a second, of all connections")
    parser.add_argument("--seconds", type=int, default=20)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
