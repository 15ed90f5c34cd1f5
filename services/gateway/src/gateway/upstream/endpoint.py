"""One replica of a service: its connections, its load, and whether it is asked."""

import random
from urllib.parse import urlsplit

from gateway.errors import UpstreamUnavailable
from gateway.upstream.connection import Connection, Failure, Unreachable
from parley.config.settings import SettingsError

FAILURES = 5
"""Failures in a row after which an address is left alone."""
FIRST_EJECTION, LONGEST_EJECTION = 1.0, 30.0


class Address:
    """One replica: its idle connections, its load, and whether it is ejected."""

    def __init__(self, host: str, port: int, *, name: bytes = b"") -> None:
        """Take where it listens, and the ``name`` it is called by when ``host`` was looked up."""
        self.host, self.port = host, port
        self.authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        self.name = name or self.authority
        self.idle: list[Connection] = []
        self.connections: set[Connection] = set()
        self.active = self.slots = 0
        self.failures = self.ejections = 0
        self.ejected_until = 0.0
        self.probing = False
        self.refusing = self.draining = False

    def available(self, now: float) -> bool:
        """Say whether requests may go here; of an address whose ejection has ended, one request is the probe."""
        return now >= self.ejected_until and not self.probing

    @property
    def gone(self) -> bool:
        """Whether it is ejected because nobody listens, or because it shuts down.

        Asking it all the same carries nothing out and loads nobody: it is the last resort when there is no other.
        """
        return self.refusing or self.draining

    def succeeded(self) -> None:
        """Note an answer, of whatever status."""
        self.failures = self.ejections = 0
        self.probing = False

    def reached(self) -> None:
        """Note a connection: whoever refused listens again."""
        if self.refusing:
            self.succeeded()
            self.refusing, self.ejected_until = False, 0.0

    def failed(self, now: float, failure: Failure) -> bool:
        """Note a failure; returns True when this ejects the address, which was not ejected before."""
        # One crash breaks many requests: only what was sent since the last ejection makes the next one longer.
        if now < self.ejected_until:
            return False
        self.failures += 1
        refused = isinstance(failure, Unreachable) and failure.refused
        if self.failures < FAILURES and not self.probing and not refused:
            return False
        return self._eject(now, refusing=refused)

    def closing(self, now: float) -> bool:
        """Say whether it said of late that it shuts down."""
        return self.draining and now < self.ejected_until

    def drains(self, now: float) -> bool:
        """Note that it shuts down, as it said itself; returns True when it was not ejected before."""
        return now >= self.ejected_until and self._eject(now, draining=True)

    def _eject(self, now: float, *, refusing: bool = False, draining: bool = False) -> bool:
        self.refusing, self.draining, self.probing = refusing, draining, False
        # Only failures that cost somebody something make the pause longer.
        pause = FIRST_EJECTION if self.gone else min(FIRST_EJECTION * 2**self.ejections, LONGEST_EJECTION)
        self.ejected_until = now + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter is no secret
        self.ejections += 1
        return self.ejections == 1

    def forget_idle(self) -> None:
        """Close the idle connections: the other side is about to, and a request must not meet that."""
        while self.idle:
            self.idle.pop().abort()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.fail(UpstreamUnavailable())


def parse_address(url: str, *, setting: str) -> Address:
    """Return the address of a URL; raises SettingsError unless it is plain HTTP with nothing behind the port."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port, parts = None, 80, urlsplit("")
    if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query or parts.username:
        raise SettingsError(f"{setting}: must be addresses like http://host:port")
    return Address(host, port)
