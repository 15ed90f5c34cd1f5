"""Bodies of requests: their beginning is waited for, the rest is passed on while it comes, nothing is kept."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.errors import ClientGone
from gateway.request import Request
from gateway.routes import Route
from gateway.server.framing import BEGINNING
from gateway.upstream.connection import Connection, Failure
from parley import errors

Receive = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Body:
    """What of a request's body is at hand, and how the rest is announced to the upstream."""

    first: bytes = b""
    more: bool = False
    framing: bytes = b""
    chunked: bool = False
    size: int = 0


NOTHING, EMPTY = Body(), Body(framing=b"content-length: 0\r\n")


async def begin(request: Request, route: Route, receive: Receive) -> Body:
    """Return a body of which the beginning, or all, has come; raises BodyTooLarge, ClientGone."""
    if not request.body_expected:
        return NOTHING if request.method in {"GET", "HEAD"} else EMPTY
    announced = request.found.get(b"content-length")
    _check_size(int(announced or 0), route)
    first, more = await _beginning(route, receive)
    size = len(first)
    if not more:
        return Body(first, framing=b"content-length: %d\r\n" % size, size=size)
    if announced is not None:
        return Body(first, more=True, framing=b"content-length: %d\r\n" % int(announced), size=size)
    return Body(_chunk(first), more=True, framing=b"transfer-encoding: chunked\r\n", chunked=True, size=size)


async def pump(connection: Connection, route: Route, body: Body, receive: Receive) -> None:
    """Pass the rest of a body on, no faster than the upstream takes it."""
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
    except (ClientGone, errors.BodyTooLarge) as error:
        connection.fail(error)
    except Failure:
        return


async def _beginning(route: Route, receive: Receive) -> tuple[bytes, bool]:
    first, more = _part(await receive())
    while more and len(first) < BEGINNING:
        data, more = _part(await receive())
        first += data
    _check_size(len(first), route)
    return first, more


def _part(message: Any) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def _check_size(size: int, route: Route) -> None:
    if size > route.max_body:
        raise errors.BodyTooLarge(f"At most {route.max_body} bytes are accepted.", headers={"connection": "close"})


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
