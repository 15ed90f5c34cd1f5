"""Traffic of a pod, while a test disturbs the cluster."""

import asyncio
import contextlib
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

from parley_testing.deployment.cluster import Cluster

PACKAGE = "pod_traffic"
"""What the pod runs."""
GATEWAY_SETTINGS = {
    "RATE_LIMIT_REQUESTS": "100000",
    "RATE_LIMIT_BURST": "10000",
    "ANONYMOUS_RATE_LIMIT": "100000",
    "RATE_LIMIT_PATIENCE": "2",
}
"""Settings that permit the traffic. On a busy cluster Redis answers late, and a small burst is permitted meanwhile."""
AUTH_SETTINGS = {"REGISTRATION": "open"}
READY_TIMEOUT, REPORT_TIMEOUT = 180.0, 900.0


class ClusterTraffic:
    """The traffic of a pod while a test disturbs the cluster, and its report."""

    def __init__(self, callers: Cluster, url: str, streams: int, rate: float) -> None:
        self.callers, self.url, self.streams, self.rate = callers, url, streams, rate
        self.report: dict[str, Any] = {}
        self.began = 0.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the traffic up while the context is open, then wait for its report."""
        command = [self.callers.program, "--namespace", self.callers.namespace, "exec", "--stdin", "traffic", "--"]
        process = await asyncio.create_subprocess_exec(
            *command, "python", "-m", PACKAGE, self.url, str(self.streams), str(self.rate),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT) == b"ready\n"
            self.began = time.monotonic()
            yield
            process.stdin.close()
            text = await asyncio.wait_for(process.stdout.read(), REPORT_TIMEOUT)
            assert await process.wait() == 0
            self.report = json.loads(text)
        finally:
            if process.returncode is None:
                process.kill()

    def seconds(self) -> float:
        """Return the seconds since the traffic began, the clock of its report."""
        return time.monotonic() - self.began

    def summary(self) -> str:
        """Return the report as a line, and a line for each kind of failure."""
        report = self.report
        seconds = sorted(each[1] for each in report["seconds"])
        high = seconds[int(len(seconds) * 0.99)] if seconds else 0
        failures = "".join(f"\n  {line}" for line in self._failures())
        wrong = "".join(f"\n  {each}" for each in report["wrong"])
        return (
            f"{report['streams']} streams with {report['tokens']} tokens ({report['resumed']} resumptions, "
            f"{report['incomplete']} incomplete, {report['longest']} s at most), "
            f"{report['requests']} requests (p99 {high:.2f} s), {len(report['failed'])} failed, "
            f"{len(report['wrong'])} wrong; history complete after {report['stored_after']} s{failures}{wrong}"
        )

    def _failures(self) -> list[str]:
        """Return a line for each kind of failure: how often, when, and how long it took."""
        found = defaultdict[str, list[tuple[float, float]]](list)
        for sent, how, seconds in self.report["failed"]:
            found[how].append((sent, seconds))
        return [
            f"{len(each)} times {how}, sent {min(each)[0]:.0f} to {max(each)[0]:.0f} s after the start, "
            f"after {max(seconds for _, seconds in each):.1f} s at most"
            for how, each in found.items()
        ]
