"""What the gateway itself answers when something is wrong."""

from typing import Any

from parley.errors import DependencyUnavailable, ParleyError, RateLimited


class TooManyStreams(RateLimited):
    """Too many streams are open."""

    code, title = "too_many_streams", "Too many streams"
    remedy = "Close a stream, or wait until one ends."

    def __init__(self, most: int) -> None:
        """Name how many are allowed."""
        super().__init__(f"At most {most} streams may be open at once.", headers={"Retry-After": "1"})


class UpstreamBroken(ParleyError):
    """A part of the service gave no proper answer."""

    status, code, title = 502, "upstream_error", "Bad gateway"
    remedy = "Try again; a request that was not repeatable may have been carried out."


class UpstreamTimeout(ParleyError):
    """A part of the service did not answer in time."""

    status, code, title = 504, "upstream_timeout", "Gateway timeout"
    remedy = "Try again; a request that was not repeatable may have been carried out."


class UpstreamUnavailable(DependencyUnavailable):
    """A part of the service cannot be reached right now."""


class ClientGone(Exception):
    """The client went away; nobody is there to be answered."""


class Interrupted(Exception):
    """The gateway itself ends a stream, with a last event for the client."""

    def __init__(self, event: str, data: dict[str, Any]) -> None:
        """Take the event's name and data."""
        super().__init__(event)
        self.event, self.data = event, data
