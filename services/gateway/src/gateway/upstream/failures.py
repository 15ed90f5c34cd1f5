"""Failures of a request to a service."""

from typing import ClassVar


class UpstreamFailure(Exception):
    """The request failed. ``reason`` is the label in ``gateway_upstream_failures_total``."""

    reason: ClassVar[str]


class ConnectFailed(UpstreamFailure):
    """No connection could be made, so nothing was sent. ``refused``: no process listens on the port."""

    reason = "unreachable"

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__(refused)
        self.refused = refused


class ConnectionBroken(UpstreamFailure):
    """The service closed or reset the connection, or sent invalid HTTP."""

    reason = "broken"


class ResponseTimeout(UpstreamFailure):
    """The service did not respond in time."""

    reason = "slow"


class EndpointFrozen(UpstreamFailure):
    """The process or host of the service does not respond at all. ``retry``: the retry budget permits another try."""

    reason = "frozen"

    def __init__(self, *, retry: bool = False) -> None:
        super().__init__(retry)
        self.retry = retry


class StreamMoved(UpstreamFailure):
    """The service asks to continue its stream on another endpoint."""

    reason = "moved"
