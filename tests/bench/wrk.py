"""wrk, the load generator: its call and its output."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)(\w+)")
_PERCENTILE = re.compile(r"(50|99)%\s+([\d.]+)(us|ms|s)")
_ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)")
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1000.0}


@dataclass
class WrkResult:
    """Results of wrk, with times in milliseconds."""

    rate: float
    total: int
    p50: float
    p99: float
    errors: str


def run_wrk(url: str, script: Path, *, connections: int, seconds: int) -> WrkResult:
    """WrkResult a URL with the requests of a Lua script."""
    program = shutil.which("wrk") or sys.exit("wrk is needed (Debian: apt-get install wrk)")
    arguments = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    text = subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout
    rate, total = _RATE.search(text), _TOTAL.search(text)
    if rate is None or total is None:
        sys.exit(text)
    percentiles = {name: float(value) * _UNITS[unit] for name, value, unit in _PERCENTILE.findall(text)}
    errors = _ERRORS.search(text)
    return WrkResult(
        float(rate[1]), int(total[1]), percentiles["50"], percentiles["99"], errors[0] if errors else "none"
    )
