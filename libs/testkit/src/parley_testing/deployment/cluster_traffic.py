"""Traffic of a pod, while a test disturbs the cluster."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from parley_testing.deployment.cluster import Cluster

READY_TIMEOUT, REPORT_TIMEOUT = 180.0, 900.0


class Traffic:
    """The traffic of a pod while a test disturbs the cluster, and its report."""

    def __init__(self, callers: Cluster, url: str, streams: int, rate: float) -> None:
        self.callers, self.url, self.streams, self.rate = callers, url, streams, rate
        self.report: dict[str, Any] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the traffic up while the context is open, then wait for its report."""
        command = [self.callers.program, "--namespace", self.callers.namespace, "exec", "--stdin", "traffic", "--"]
        process = await asyncio.create_subprocess_exec(
            *command, "python", "/files/traffic.py", self.url, str(self.streams), str(self.rate),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert await asyncio.wait_for(process.stdout.readline(), READY_TIMEOUT) == b"ready\n"
            yield
            process.stdin.close()
            text = await asyncio.wait_for(process.stdout.read(), REPORT_TIMEOUT)
            assert await process.wait() == 0
            self.report = json.loads(text)
        finally:
            if process.returncode is None:
                process.kill()

    def summary(self) -> str:
        """Return the report as a line, and a line for each kind of failure."""
        report = self.report
        seconds = sorted(each[1] for each in report["seconds"])
        high = seconds[int(len(seconds) * 0.99)] if seconds else 0
        kinds = Counter(each[1] for each in report["failed"]).most_common()
        failures = "".join(f"\n  {count} times {kind}" for kind, count in kinds)
        wrong = "".join(f"\n  {each}" for each in report["wrong"])
        return (
            f"{report['streams']} streams with {report['tokens']} tokens ({report['resumed']} resumptions, "
            f"{report['incomplete']} incomplete), {report['requests']} requests (p99 {high:.2f} s), "
            f"{len(report['failed'])} failed, {len(report['wrong'])} wrong; "
            f"history complete after {report['stored_after']} s{failures}{wrong}"
        )
