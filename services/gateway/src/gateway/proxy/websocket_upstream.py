"""The service's side of a WebSocket: connected to the first replica that can be reached."""

from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from gateway.errors import UpstreamUnavailable
from gateway.request import Request
from gateway.upstream.connection import Unreachable
from gateway.upstream.endpoint import Address
from gateway.upstream.pool import Pool

BEARER = "parley.bearer."
MAX_FRAME = 1_048_576
MAX_QUEUE = 4
"""Frames that wait here from the upstream before it is paused."""
OPEN_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
SWITCHED = 101


async def open_upstream(pool: Pool, request: Request, offered: Sequence[str]) -> tuple[Address, ClientConnection]:
    """Return a connection to the first replica that can be reached; one that cannot was sent nothing."""
    tried: set[bytes] = set()
    while True:
        address = pool.choose(tried=tried)
        address.active += 1
        try:
            upstream = await _connect(address, request, offered)
        except Unreachable as failure:
            pool.note_failure(address, failure)
            pool.leave(address)
            tried.add(address.authority)
        except BaseException:
            pool.leave(address)
            raise
        else:
            address.succeeded()
            if request.trace is not None:
                request.trace.answered(address, SWITCHED)
            return address, upstream


async def _connect(address: Address, request: Request, offered: Sequence[str]) -> ClientConnection:
    try:
        return await connect(
            f"ws://{address.authority.decode()}{request.path}",
            subprotocols=[Subprotocol(name) for name in offered if not name.startswith(BEARER)] or None,
            additional_headers=_headers(request),
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=None,
            max_size=MAX_FRAME,
            max_queue=MAX_QUEUE,
        )
    except InvalidStatus as error:
        raise UpstreamUnavailable(f"The service refused the socket with {error.response.status_code}.") from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise Unreachable(refused=isinstance(error, ConnectionRefusedError)) from None


def _headers(request: Request) -> list[tuple[str, str]]:
    headers = [
        ("x-request-id", request.request_id),
        ("x-forwarded-for", request.client.text),
        ("x-forwarded-proto", request.scheme.decode()),
        ("x-forwarded-host", request.host.decode("latin-1")),
        ("via", "1.1 parley"),
    ]
    traceparent = request.traceparent()
    if traceparent is not None:
        headers.append(("traceparent", traceparent.decode()))
    if request.caller is not None:
        headers.append(("authorization", f"Bearer {request.caller.principal.token}"))
    origin = request.found.get(b"origin")
    if origin:
        headers.append(("origin", origin.decode("latin-1")))
    return headers
