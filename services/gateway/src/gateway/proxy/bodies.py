"""Request bodies: the first part is awaited, the rest is streamed, and nothing is stored."""

import time
from dataclasses import dataclass
from typing import Any

from gateway.errors import ClientDisconnected
from gateway.http import Receive
from gateway.request import Request
from gateway.routes import Route
from gateway.server.framing import MIN_BODY_PREFIX
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.failures import UpstreamFailure
from parley import errors


@dataclass(frozen=True, slots=True)
class ForwardedBody:
    """The received part of a request body, and the header line that frames the body for the service."""

    first: bytes = b""
    more: bool = False
    framing: bytes = b""
    chunked: bool = False
    size: int = 0


NO_BODY, EMPTY_BODY = ForwardedBody(), ForwardedBody(framing=b"content-length: 0\r\n")


async def receive_first(request: Request, route: Route, receive: Receive) -> ForwardedBody:
    """Wait for the first part of the body. Raise BodyTooLarge or ClientDisconnected."""
    if not request.body_expected:
        return NO_BODY if request.method in {"GET", "HEAD"} else EMPTY_BODY
    announced = request.used_headers.get(b"content-length")
    _check_size(int(announced or 0), route)
    first, more = await _receive_prefix(route, receive)
    size = len(first)
    if not more:
        return ForwardedBody(first, framing=b"content-length: %d\r\n" % size, size=size)
    if announced is not None:
        return ForwardedBody(first, more=True, framing=b"content-length: %d\r\n" % int(announced), size=size)
    return ForwardedBody(_chunk(first), more=True, framing=b"transfer-encoding: chunked\r\n", chunked=True, size=size)


async def stream_rest(connection: UpstreamConnection, route: Route, body: ForwardedBody, receive: Receive) -> None:
    """Stream the rest of a body to the service, as fast as the service reads it."""
    size = body.size
    try:
        while True:
            data, more = _part(await receive())
            size += len(data)
            _check_size(size, route)
            piece = (_chunk(data) + (b"" if more else b"0\r\n\r\n")) if body.chunked else data
            await connection.write(piece)
            connection.deadline = max(connection.deadline, time.monotonic() + route.timeout)
            if not more:
                return
    except (ClientDisconnected, errors.BodyTooLarge) as error:
        connection.fail(error)
    except UpstreamFailure:
        return


async def _receive_prefix(route: Route, receive: Receive) -> tuple[bytes, bool]:
    first, more = _part(await receive())
    while more and len(first) < MIN_BODY_PREFIX:
        data, more = _part(await receive())
        first += data
    _check_size(len(first), route)
    return first, more


def _part(message: Any) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    return message.get("body", b""), message.get("more_body", False)


def _check_size(size: int, route: Route) -> None:
    if size > route.max_body:
        raise errors.BodyTooLarge(
            f"The body must not exceed {route.max_body} bytes on this route.", headers={"connection": "close"}
        )


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
