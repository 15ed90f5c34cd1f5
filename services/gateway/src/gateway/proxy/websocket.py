"""WebSocket proxy: frames relayed in both directions, and ``auth`` frames checked before they are relayed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.access.streams import OpenStream, OpenStreams
from gateway.errors import StreamTerminated
from gateway.http import Receive, Send
from gateway.proxy.websocket_upstream import BEARER_PREFIX, SWITCHING_PROTOCOLS, open_upstream
from gateway.request import Caller, Request
from gateway.routes import Route
from gateway.upstream.pool import Pool
from parley.errors import ParleyError, RateLimited, Unauthenticated

Renew = Callable[[Request, Route, str], Awaitable[Caller]]

PROTOCOL = "parley.v1"
NORMAL, GOING_AWAY, POLICY_VIOLATION, INTERNAL_ERROR = 1000, 1001, 1008, 1011
UNAUTHENTICATED, RATE_LIMITED = 4401, 4429
"""Close codes of Parley's WebSocket protocol."""
_NO_STATUS = 1005
_RESERVED = frozenset({_NO_STATUS, 1006, 1015})
"""Close codes that an endpoint may not send."""


class Close(NamedTuple):
    """A close frame for the client."""

    code: int
    reason: str


class WebSocketProxy:
    """Connects the WebSocket of a client with a service."""

    def __init__(self, pools: Mapping[str, Pool], streams: OpenStreams, renew: Renew) -> None:
        """``renew`` checks a token received over an open WebSocket, and returns its caller."""
        self._pools, self._streams, self._renew = pools, streams, renew

    async def handle(
        self, request: Request, route: Route, offered: Sequence[str], receive: Receive, send: Send
    ) -> None:
        """Relay frames until one side closes. Raise ParleyError when the service rejects the WebSocket."""
        pool = self._pools[route.service]
        endpoint, upstream = await open_upstream(pool, request, offered)
        try:
            await self._relay(request, route, upstream, offered, receive, send)
        finally:
            pool.finish_request(endpoint)
            await upstream.close()

    async def _relay(
        self,
        request: Request,
        route: Route,
        upstream: ClientConnection,
        offered: Sequence[str],
        receive: Receive,
        send: Send,
    ) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        request.status = SWITCHING_PROTOCOLS
        await send({
            "type": "websocket.accept",
            "subprotocol": PROTOCOL if PROTOCOL in offered else None,
            "headers": [(b"x-request-id", request.request_id.encode())],
        })  # fmt: skip
        closed: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        session = request.caller.session if request.caller else None
        stream = OpenStream(session, endless=True, end=lambda reason: _resolve(closed, _close_for(reason)))
        async with contextlib.AsyncExitStack() as reservations:
            reservations.enter_context(self._streams.watch(stream))

            async def authenticate(token: str) -> None:
                known = request.caller
                caller = request.caller = await self._renew(request, route, token)
                stream.session = caller.session
                if known is None:
                    await reservations.enter_async_context(self._streams.reserve_for(caller))

            await _run_until_closed(
                closed,
                _relay_to_service(upstream, receive, authenticate, closed),
                _relay_to_client(request, upstream, send),
                send=send,
            )


async def _run_until_closed(closed: "asyncio.Future[Close]", *relays: Awaitable[None], send: Send) -> None:
    """Run both directions until one ends, or until ``closed`` is resolved."""
    tasks: list[asyncio.Future[Any]] = [*map(asyncio.ensure_future, relays), closed]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if closed.done():
            code, reason = closed.result()
            await send({"type": "websocket.close", "code": code, "reason": reason})
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _relay_to_service(
    upstream: ClientConnection,
    receive: Receive,
    authenticate: Callable[[str], Awaitable[None]],
    closed: "asyncio.Future[Close]",
) -> None:
    """Relay the client's frames. The token of an ``auth`` frame is checked first."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(_sendable(message.get("code")), message.get("reason") or "")
            return
        data = message.get("text")
        try:
            token = auth_token(data) if data is not None else None
            if token is not None:
                await authenticate(token)
            await upstream.send(data if data is not None else message["bytes"])
        except ConnectionClosed:
            return
        except ParleyError as error:
            _resolve(closed, Close(_close_code(error), error.code))
            return


async def _relay_to_client(request: Request, upstream: ClientConnection, send: Send) -> None:
    try:
        async for data in upstream:
            request.bytes_sent += len(data)
            kind = "text" if isinstance(data, str) else "bytes"
            await send({"type": "websocket.send", kind: data})
    except ConnectionClosed:
        pass
    code = upstream.close_code
    if code in _RESERVED:
        code = NORMAL if code == _NO_STATUS else INTERNAL_ERROR
    await send({"type": "websocket.close", "code": code or INTERNAL_ERROR, "reason": upstream.close_reason or ""})


async def reject(request: Request, error: ParleyError, send: Send) -> None:
    """Reject a WebSocket. If it is already open, close it with an internal error."""
    if request.status == SWITCHING_PROTOCOLS:
        await send({"type": "websocket.close", "code": INTERNAL_ERROR, "reason": error.code})
    else:
        request.status = error.status
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.code})


def offered_token(subprotocols: Sequence[str]) -> str:
    """Return the token among the offered subprotocols, because browsers cannot set headers on a WebSocket."""
    return next((name.removeprefix(BEARER_PREFIX) for name in subprotocols if name.startswith(BEARER_PREFIX)), "")


def auth_token(text: str) -> str | None:
    """Return the token of an ``auth`` frame, or None for any other frame; the service reports invalid ones."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(frame, dict) or frame.get("type") != "auth":
        return None
    token = frame.get("token")
    return token if isinstance(token, str) else ""


def _close_code(error: ParleyError) -> int:
    if isinstance(error, Unauthenticated):
        return UNAUTHENTICATED
    return RATE_LIMITED if isinstance(error, RateLimited) else GOING_AWAY


def _close_for(reason: StreamTerminated) -> Close:
    return Close(UNAUTHENTICATED if reason.event == "session_revoked" else GOING_AWAY, reason.event)


def _sendable(code: int | None) -> int:
    return NORMAL if code is None or code in _RESERVED else code


def _resolve(future: "asyncio.Future[Close]", close: Close) -> None:
    if not future.done():
        future.set_result(close)
