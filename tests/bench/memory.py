"""Resident memory of each idle service, and the time of its import."""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from verdicts import judge  # type: ignore[import-not-found]

from fake_provider.process import FakeProvider
from parley_testing.backends.shared_servers import SharedBackends
from parley_testing.backends.urls import BackendUrls
from parley_testing.faults.processes import resident_bytes
from parley_testing.stacks.separate_processes import SeparateStack

MAX_MB, MAX_IMPORT_SECONDS = 100, 1.5
SETTLE_SECONDS = 5
MODULES = {
    "auth": "auth.main",
    "chat": "chat.main",
    "history": "history.main",
    "worker": "history.worker",
    "webhooks": "webhooks.main",
    "gateway": "gateway.main",
}


def import_seconds(module: str) -> float:
    """Return the best of three import times of a module in a new process."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        times.append(time.perf_counter() - began)
    return min(times)


async def measure() -> bool:
    """Print a line for each service; return whether all are within the limits."""
    good = True
    async with SharedBackends() as backends, FakeProvider() as provider:
        infrastructure = BackendUrls(
            await backends.database_url(), await backends.redis_url(), await backends.amqp_url()
        )
        with tempfile.TemporaryDirectory(prefix="parley-bench-") as folder:
            async with SeparateStack(Path(folder), infrastructure, provider.base_url) as stack:
                await asyncio.sleep(SETTLE_SECONDS)
                for replica in stack.everything:
                    name = replica.name.partition("-")[0]
                    memory, seconds = resident_bytes(replica.child.pid) / 1e6, import_seconds(MODULES[name])
                    text = (
                        f"{name:<10} {memory:6.1f} MB, most {MAX_MB}, load {seconds:.2f} s, most {MAX_IMPORT_SECONDS}"
                    )
                    good &= judge(text, met=memory <= MAX_MB and seconds <= MAX_IMPORT_SECONDS)
    return good


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(measure()) else 1)
