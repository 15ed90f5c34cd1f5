"""Runtime state of a service: name, settings, metrics, lifecycle, and health checks of its dependencies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from parley.config.settings import ServiceSettings
from parley.observability.metrics import Metrics
from parley.observability.tracing import Tracer
from parley.web.lifecycle import Lifecycle

PING_TIMEOUT = 2.0
Ping = Callable[[], Awaitable[object]]
Report = Callable[[], Awaitable[dict[str, Any]]]


@dataclass
class Runtime:
    """State that wiring code receives; code that opens a resource registers its ping here."""

    service: str
    version: str
    settings: ServiceSettings
    metrics: Metrics
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    tracer: Tracer | None = None
    """Set while a traced service runs."""
    pings: dict[str, Ping] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    """Each report adds fields to ``/status``, for example the outbox backlog."""

    async def status(self) -> dict[str, Any]:
        """Ping every dependency and return the response body of ``/status``, within ``PING_TIMEOUT``."""
        found, reported = await asyncio.gather(
            asyncio.gather(*(self._ping(name, ping) for name, ping in self.pings.items())),
            asyncio.gather(*map(_report_or_empty, self.reports)),
        )
        extra = {name: value for report in reported for name, value in report.items()}
        healthy = all(d["status"] == "up" for d in found)
        return {
            "status": "ok" if healthy else "degraded",
            "service": self.service,
            "version": self.version,
            "git_sha": self.settings.git_sha,
            "uptime_s": int(self.lifecycle.uptime()),
            "dependencies": found,
            "streams": self.lifecycle.open_streams,
            **extra,
        }

    @staticmethod
    async def _ping(name: str, ping: Ping) -> dict[str, Any]:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(PING_TIMEOUT):
                await _ping_twice(ping)
        except Exception as error:  # noqa: BLE001 - any failure means that it is down
            return {"name": name, "status": "down", "latency_ms": None, "detail": _reason(error)}
        latency = round((time.perf_counter() - began) * 1000, 1)
        return {"name": name, "status": "up", "latency_ms": latency, "detail": None}


async def _ping_twice(ping: Ping) -> None:
    """Ping again after a failure. One late response is no outage: a call to Redis waits only for milliseconds."""
    try:
        await ping()
    except Exception:  # noqa: BLE001 - the second attempt tells why
        await ping()


def _reason(error: Exception) -> str:
    """Name the failure without its message, which may contain addresses or secrets."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError) and error.errno is None:
        return "timed out"
    return getattr(error, "status_detail", type(error).__name__)


async def _report_or_empty(report: Report) -> dict[str, Any]:
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            return await report()
    except Exception:  # noqa: BLE001 - a report can fail when its dependency is down
        return {}
