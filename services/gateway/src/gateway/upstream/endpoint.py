"""One endpoint (replica) of a service: its connections, load, and ejection after failures."""

import math
import random
from urllib.parse import urlsplit

from gateway.errors import UpstreamUnavailable
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.failures import ConnectFailed, UpstreamFailure
from parley.config.settings import SettingsError

FAILURES_TO_EJECT = 5
"""Consecutive failures after which an endpoint is ejected."""
MIN_EJECTION, MAX_EJECTION = 1.0, 30.0
"""Seconds of an ejection: doubled with each consecutive one, up to the maximum."""


class Endpoint:
    """An endpoint of a service."""

    def __init__(self, host: str, port: int, *, name: bytes = b"") -> None:
        """``name`` is the configured authority when ``host`` was resolved from it; it becomes the Host header."""
        self.host, self.port = host, port
        self.authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        self.name = name or self.authority
        self.idle: list[UpstreamConnection] = []
        self.connections: set[UpstreamConnection] = set()
        self.active = self.slots = 0
        self.failures = self.ejections = 0
        self.ejected_until = 0.0
        self.probing = False
        self.refusing = self.draining = self.frozen = False
        self.healthy_at, self.silent_since = 0.0, math.inf
        """Start of the last health check that it passed, and of its present silence (``inf``: it responds)."""

    def is_available(self, now: float) -> bool:
        """Return whether it accepts requests. After an ejection, one request at a time probes it."""
        return now >= self.ejected_until and not self.probing

    @property
    def is_offline(self) -> bool:
        """Whether it is ejected because it refuses connections or is shutting down.

        A request to it is not processed and adds no load, so it may be tried when no other endpoint is left.
        """
        return self.refusing or self.draining

    def is_draining(self, now: float) -> bool:
        """Return whether it recently announced its shutdown."""
        return self.draining and now < self.ejected_until

    def record_success(self) -> None:
        """Record a response of any status."""
        self.failures = self.ejections = 0
        self.probing, self.silent_since = False, math.inf

    def record_connect(self) -> None:
        """Record a successful connect; it ends the ejection of an endpoint that refused connections."""
        if self.refusing:
            self.record_success()
            self.refusing, self.ejected_until = False, 0.0

    def record_failure(self, now: float, failure: UpstreamFailure) -> bool:
        """Record a failure. Return True when it ejects an endpoint that was not ejected before."""
        # One crash breaks many requests. Only failures after an ejection may make the next one longer.
        if now < self.ejected_until:
            return False
        self.failures += 1
        refused = isinstance(failure, ConnectFailed) and failure.refused
        if self.failures < FAILURES_TO_EJECT and not self.probing and not refused:
            return False
        return self._eject(now, refusing=refused)

    def record_draining(self, now: float) -> bool:
        """Record an announced shutdown. Return True when it ejects an endpoint that was not ejected before."""
        return now >= self.ejected_until and self._eject(now, draining=True)

    def freeze(self) -> None:
        """Skip the endpoint until ``thaw``, because its process or host does not respond."""
        self.frozen, self.ejected_until = True, math.inf
        self.refusing = self.draining = self.probing = False

    def thaw(self) -> None:
        """Use the endpoint again."""
        self.frozen, self.ejected_until = False, 0.0
        self.record_success()

    def _eject(self, now: float, *, refusing: bool = False, draining: bool = False) -> bool:
        self.refusing, self.draining, self.probing = refusing, draining, False
        # Refusing and draining endpoints cost no request, so their ejection does not grow.
        pause = MIN_EJECTION if self.is_offline else min(MIN_EJECTION * 2**self.ejections, MAX_EJECTION)
        self.ejected_until = now + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter is no secret
        self.ejections += 1
        return self.ejections == 1

    def close_idle(self) -> None:
        """Close idle connections before the endpoint does, so that no request is sent on one that is closing."""
        while self.idle:
            self.idle.pop().abort()

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.fail(UpstreamUnavailable())


def parse_endpoint(url: str, *, setting: str) -> Endpoint:
    """Return the endpoint of an ``http://host:port`` URL. Raise SettingsError for any other URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        host, port, parts = None, 80, urlsplit("")
    if parts.scheme != "http" or not host or parts.path.strip("/") or parts.query or parts.username:
        raise SettingsError(f"{setting}: each address must have the form http://host:port")
    return Endpoint(host, port)
