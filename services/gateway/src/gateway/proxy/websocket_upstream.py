"""WebSocket connection to a service: opened on the first reachable endpoint."""

from collections.abc import Sequence

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from gateway.errors import UpstreamUnavailable
from gateway.request import Request
from gateway.upstream.endpoint import Endpoint
from gateway.upstream.failures import ConnectFailed
from gateway.upstream.pool import Pool
from parley.process.sockets import PEER_TIMEOUT, is_peer_lost, set_options
from parley.web.problems import speaks_openai

PROTOCOL, BEARER_PREFIX = "parley.v1", "parley.bearer."
MAX_FRAME = 1_048_576
MAX_EVENT_FRAME = 8 * MAX_FRAME
"""Bytes of a service's frame in OpenAI's format: the last event of a response has the request and the whole answer."""
MAX_QUEUED_FRAMES = 4
"""Received frames at which the service is paused."""
OPEN_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
SWITCHING_PROTOCOLS = 101


async def open_upstream(pool: Pool, request: Request, offered: Sequence[str]) -> tuple[Endpoint, ClientConnection]:
    """Return a connection to the first reachable endpoint. Raise UpstreamUnavailable."""
    tried: set[bytes] = set()
    while True:
        endpoint = pool.choose(tried=tried)
        endpoint.active += 1
        try:
            upstream = await _connect(endpoint, request, offered)
        except ConnectFailed as failure:
            pool.record_failure(endpoint, failure)
            pool.finish_request(endpoint)
            tried.add(endpoint.authority)
        except BaseException:
            pool.finish_request(endpoint)
            raise
        else:
            endpoint.record_success()
            if request.trace is not None:
                request.trace.record_response(endpoint.host, endpoint.port, SWITCHING_PROTOCOLS)
            return endpoint, upstream


async def _connect(endpoint: Endpoint, request: Request, offered: Sequence[str]) -> ClientConnection:
    try:
        upstream = await connect(
            f"ws://{endpoint.authority.decode()}{request.path}",
            subprotocols=[Subprotocol(PROTOCOL)] if PROTOCOL in offered else None,
            additional_headers=_headers(request),
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=OPEN_TIMEOUT,
            close_timeout=CLOSE_TIMEOUT,
            ping_interval=None,
            max_size=MAX_EVENT_FRAME if speaks_openai(request.path) else MAX_FRAME,
            max_queue=MAX_QUEUED_FRAMES,
        )
        set_options(upstream.transport.get_extra_info("socket"), PEER_TIMEOUT.keepalive())
    except InvalidStatus as error:
        raise UpstreamUnavailable(f"The service rejected the WebSocket with {error.response.status_code}.") from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise ConnectFailed(refused=isinstance(error, ConnectionRefusedError)) from None
    return upstream


def abort_if_lost(upstream: ClientConnection) -> None:
    """Abort a connection whose host vanished before it acknowledged a frame, which keepalive does not notice."""
    transport = upstream.transport
    if not transport.is_closing() and is_peer_lost(transport.get_extra_info("socket"), PEER_TIMEOUT.seconds):
        transport.abort()


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
    origin = request.used_headers.get(b"origin")
    if origin:
        headers.append(("origin", origin.decode("latin-1")))
    return headers
