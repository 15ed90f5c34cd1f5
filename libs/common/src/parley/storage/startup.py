"""Start of a service while its database is away: steps are repeated in the process, which logs what it waits for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog

from parley.errors import DependencyUnavailable
from parley.process.failures import StartError, describe
from parley.storage.migrations import MigrationError
from parley.storage.postgres_errors import is_unavailable

T = TypeVar("T")
log = structlog.get_logger()

RETRY_INTERVAL = 0.5
"""Seconds from a failed attempt to the next."""
PERMANENT = (asyncpg.PostgresError, asyncpg.InterfaceError, MigrationError)
"""Errors of the database or of its address that stay, unless they are errors of an outage."""
LOG_INTERVAL = 30.0
"""Seconds after which an unchanged reason is logged again."""


def address_of(url: str) -> str:
    """Return the hosts, or the socket, of the URL of a store: what can be logged, without user and password."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", []))
    return hosts or "the default address"


def _names_file(error: BaseException) -> bool:
    """Tell a file that cannot be read, such as a certificate, from a missing socket, whose error names no file."""
    return isinstance(error, OSError) and error.filename is not None


class DatabaseStartup:
    """Repeats the first steps of a service until its database is available.

    A process that ended instead would be restarted ever more seldom, and could stay away long after the outage.
    """

    def __init__(self, dsn: str, report: Callable[[str | None], None]) -> None:
        """Report what the service waits for, and None when it no longer does."""
        self._address, self._report = address_of(dsn), report
        self._logged, self._logged_at = "", float("-inf")

    async def run(self, step: Callable[[], Awaitable[T]]) -> T:
        """Return the result of a step; repeat it after errors that pass by themselves. Raises StartError for others."""
        while True:
            try:
                result = await step()
            except Exception as error:
                cause = error.__cause__ if isinstance(error, DependencyUnavailable) else error
                if cause is not None and is_unavailable(cause) and not _names_file(cause):
                    self._note(describe(cause))
                elif isinstance(error, PERMANENT):
                    raise StartError(f"postgres at {self._address}: {describe(error)}") from error
                else:
                    raise
            else:
                self._note_success()
                return result
            await asyncio.sleep(RETRY_INTERVAL)

    def _note(self, reason: str) -> None:
        self._report(f"postgres at {self._address}")
        now = time.monotonic()
        if reason != self._logged or now - self._logged_at >= LOG_INTERVAL:
            self._logged, self._logged_at = reason, now
            log.warning("start_waits", dependency="postgres", address=self._address, reason=reason)

    def _note_success(self) -> None:
        self._report(None)
        if self._logged:
            self._logged, self._logged_at = "", float("-inf")
            log.info("start_continues", dependency="postgres", address=self._address)
