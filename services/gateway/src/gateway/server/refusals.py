"""Refusals of requests that never reach the pipeline, counted on the client's address like requests without a route."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from gateway.http import Header
from parley.errors import ParleyError

log = structlog.get_logger()

CountRefusal = Callable[[str, str], Awaitable[ParleyError | None]]
"""Counts a refused request of a peer with this ``X-Forwarded-For``. Returns the error if the address is over its limit.
"""


def forwarded_for(headers: Iterable[Header] | None) -> str:
    """Return the ``X-Forwarded-For`` fields of a head, as far as it was parsed, as one list."""
    return ",".join(value.decode("latin-1") for name, value in headers or () if name == b"x-forwarded-for")


async def count_refusal(count: CountRefusal, peer: str, forwarded: str, error: ParleyError) -> ParleyError:
    """Count a refused request. Return the error to send: the given one, or that of the exceeded limit."""
    try:
        return await count(peer, forwarded) or error
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("refusal_not_counted")
        return error
