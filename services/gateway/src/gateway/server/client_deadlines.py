"""Deadlines of one client connection, and its minimum data rates."""

import asyncio
import time

from gateway.server.min_rate import AckedBytes, MinDataRate
from gateway.settings import GatewaySettings

NEVER = float("inf")


class ClientDeadlines:
    """When a client must have sent or read something."""

    __slots__ = ("_acked", "_header_timeout", "_read_rate", "_send_rate", "at")

    def __init__(self, settings: GatewaySettings, transport: asyncio.Transport) -> None:
        self._header_timeout = settings.header_timeout
        self._send_rate = MinDataRate(settings.body_timeout)
        self._read_rate = MinDataRate(settings.write_timeout)
        self._acked = AckedBytes(transport.get_extra_info("socket"))
        self.at = NEVER
        """Time at which the connection closes unless the client acts before."""
        self.expect_head()

    def expect_head(self) -> None:
        """Require a complete request head in time."""
        self.at = time.monotonic() + self._header_timeout

    def head_received(self) -> None:
        """Require nothing until the response, except a body at the minimum rate."""
        self.at = NEVER
        self._send_rate.pause()

    def exceeded(self, now: float, *, pending: int, received: int | None) -> bool:
        """Return whether the client is over its deadline or below a minimum rate.

        ``pending``: bytes of responses to read. ``received``: bytes of bodies so far; None if no body is read now.
        """
        return now > self.at or self._reads_too_slowly(now, pending) or self._sends_too_slowly(now, received)

    def _reads_too_slowly(self, now: float, pending: int) -> bool:
        if not pending:
            self._read_rate.pause()
            return False
        return self._read_rate.is_too_slow(now, self._acked.count(pending))

    def _sends_too_slowly(self, now: float, received: int | None) -> bool:
        if received is None:
            self._send_rate.pause()
            return False
        return self._send_rate.is_too_slow(now, received)
