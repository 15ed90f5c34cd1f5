"""Errors of the gateway: problems for clients, and the ends of requests and streams."""

from typing import Any

from parley.errors import DependencyUnavailable, ParleyError, RateLimited


class TooManyStreams(RateLimited):
    """The user has reached the limit of open streams."""

    code, title = "too_many_streams", "Too many streams"
    remedy = "Close a stream, or wait until one ends."

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit} streams may be open at once.", headers={"Retry-After": "1"})


class UpgradeRequired(ParleyError):
    """The path serves WebSockets only, and the request is not a WebSocket handshake."""

    status, code, title = 426, "upgrade_required", "Upgrade required"
    remedy = "Open a WebSocket. A proxy in front of Parley must pass on the headers `Connection` and `Upgrade`."

    def __init__(self) -> None:
        super().__init__(headers={"Upgrade": "websocket", "Connection": "Upgrade"})


class UpstreamBroken(ParleyError):
    """A service closed the connection or sent an invalid response."""

    status, code, title = 502, "upstream_error", "Bad gateway"
    remedy = "Try again. The service may have processed the request, so repeat it only if that is safe."


class UpstreamTimeout(ParleyError):
    """A service did not respond in time."""

    status, code, title = 504, "upstream_timeout", "Gateway timeout"
    remedy = "Try again. The service may have processed the request, so repeat it only if that is safe."


class UpstreamUnavailable(DependencyUnavailable):
    """A required service cannot be reached right now."""


class ClientDisconnected(Exception):
    """The client closed its connection before the response was complete."""


class StreamTerminated(Exception):
    """The gateway ends a stream; ``event`` and ``data`` form the final event for the client."""

    def __init__(self, event: str, data: dict[str, Any]) -> None:
        super().__init__(event)
        self.event, self.data = event, data
