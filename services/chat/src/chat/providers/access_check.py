"""Check of the operator's access to the model providers: whether each is reachable and accepts its API key."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx2
import structlog

from chat.catalogue import Model, Target
from chat.providers.wire_formats import wire_format_of
from parley.web.http_client import open_client
from parley.web.runtime import Runtime

log = structlog.get_logger()

CHECK_TIMEOUT = 1.5
"""Seconds of one call: less than a ping of ``/status`` may take."""
RECHECK_INTERVAL = 30.0
"""Seconds for which ``/status`` shows the last result, so that it does not call a provider at each request."""
REFUSED = frozenset({401, 403})

KeyStatus = Literal["accepted", "refused", "unreachable"]


class ProviderAccessError(Exception):
    """A provider is unreachable or refuses its API key."""

    def __init__(self, access: "ProviderAccess") -> None:
        super().__init__(access.status_detail)
        self.access, self.status_detail = access, access.status_detail


@dataclass(frozen=True, slots=True)
class ProviderAccess:
    """Result of a check: the host of a provider and what it said about the key."""

    host: str
    status: KeyStatus
    latency_ms: float

    @property
    def status_detail(self) -> str:
        """The result in words, without the key."""
        return "the API key is refused" if self.status == "refused" else "unreachable"


class ProviderAccessChecks:
    """The last results of all providers of a catalogue."""

    def __init__(self, models: Iterable[Model]) -> None:
        """Take the models whose providers are checked; models with the same URL and key are one."""
        self._targets = {(model.target.base_url, model.target.api_key): model.target for model in models}
        self._found: dict[tuple[str, str | None], ProviderAccess] = {}
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def report_refusals(self) -> None:
        """Check every provider and log each that refuses its key; for the start of the service."""
        for access in await self.check():
            if access.status == "refused":
                log.error("provider_key_refused", host=access.host)

    async def check(self) -> list[ProviderAccess]:
        """Call every provider now."""
        async with open_client(read_timeout=CHECK_TIMEOUT, max_connections=8) as client:
            found = await asyncio.gather(*(check_target(client, target) for target in self._targets.values()))
        self._found = dict(zip(self._targets, found, strict=True))
        self._checked_at = time.monotonic()
        return found

    async def ping(self) -> None:
        """Raise ProviderAccessError for a provider that is unreachable or refuses its key."""
        async with self._lock:
            if time.monotonic() - self._checked_at > RECHECK_INTERVAL:
                await self.check()
        for access in self._found.values():
            if access.status != "accepted":
                raise ProviderAccessError(access)


@contextlib.asynccontextmanager
async def check_in_background(models: Iterable[Model], runtime: Runtime) -> AsyncIterator[None]:
    """Show the access to the providers in ``/status``; log the keys that they refuse, without delaying the start."""
    access = ProviderAccessChecks(models)
    runtime.pings["provider"] = access.ping
    checking = asyncio.create_task(access.report_refusals())
    try:
        yield
    finally:
        checking.cancel()
        await asyncio.wait({checking})


async def check_target(client: httpx2.AsyncClient, target: Target) -> ProviderAccess:
    """List the models of a provider with its key. Servers without that list accept the key as far as one can know."""
    headers = dict(wire_format_of(target).headers(target))
    host, began = urlsplit(target.base_url).netloc.rpartition("@")[2], time.perf_counter()
    status: KeyStatus
    try:
        async with (
            asyncio.timeout(CHECK_TIMEOUT),
            client.stream("GET", f"{target.base_url}/models", headers=headers) as response,
        ):
            status = "refused" if response.status_code in REFUSED else "accepted"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError):  # also a TimeoutError
        status = "unreachable"
    return ProviderAccess(host, status, round((time.perf_counter() - began) * 1000, 1))
