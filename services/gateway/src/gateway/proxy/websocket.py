"""WebSocket proxy: frames relayed in both directions. Those of clients are parsed, checked and counted first."""

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.access.policy import AccessPolicy
from gateway.access.streams import OpenStream, OpenStreams
from gateway.errors import StreamTerminated
from gateway.http import Receive, Send
from gateway.proxy.websocket_frames import ClientFrame, auth_frame, read_frame
from gateway.proxy.websocket_upstream import (
    BEARER_PREFIX,
    PROTOCOL,
    SWITCHING_PROTOCOLS,
    abort_if_lost,
    open_upstream,
)
from gateway.request import Request
from gateway.routes import Route
from gateway.server.websocket_protocol import EXTENSION
from gateway.upstream.pool import Pool
from parley.errors import AmbiguousCredentials, InvalidRequest, ParleyError, RateLimited, Unauthenticated
from parley.process.sockets import PEER_TIMEOUT
from parley.process.timeouts import IdleTimer
from parley.web.problems import openai_error_frame, speaks_openai

NORMAL, GOING_AWAY, INTERNAL_ERROR = 1000, 1001, 1011
INVALID_FRAME, UNAUTHENTICATED, RATE_LIMITED = 4400, 4401, 4429
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

    def __init__(self, pools: Mapping[str, Pool], streams: OpenStreams, policy: AccessPolicy) -> None:
        self._pools, self._streams, self._policy = pools, streams, policy

    async def handle(self, request: Request, route: Route, scope: Any, receive: Receive, send: Send) -> None:
        """Relay frames until one side closes. Raise ParleyError when the service rejects the WebSocket."""
        pool = self._pools[route.service]
        endpoint, upstream = await open_upstream(pool, request, scope["subprotocols"])
        try:
            await self._relay(request, route, upstream, scope, receive, send)
        finally:
            pool.finish_request(endpoint)
            await upstream.close()

    async def _relay(
        self,
        request: Request,
        route: Route,
        upstream: ClientConnection,
        scope: Any,
        receive: Receive,
        send: Send,
    ) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        request.status = SWITCHING_PROTOCOLS
        await send(accept_message(request, scope["subprotocols"]))
        closed: asyncio.Future[Close] = asyncio.get_running_loop().create_future()
        session = request.caller.session if request.caller else None
        caller_known: Callable[[], None] = scope["extensions"].get(EXTENSION, lambda: None)
        if request.caller:
            caller_known()
        stream = OpenStream(session, endless=True, end=lambda reason: _resolve(closed, _close_for(reason)))
        async with contextlib.AsyncExitStack() as reservations:
            # The timer is never touched, so it repeats.
            reservations.callback(IdleTimer(PEER_TIMEOUT.seconds / 2, lambda: abort_if_lost(upstream)).stop)
            reservations.enter_context(self._streams.watch(stream))

            async def admit(frame: ClientFrame) -> None:
                if frame.token is None:
                    await self._policy.admit_frame(request, costly=frame.costly)
                    if frame.costly and speaks_openai(request.path):
                        await self._renew_key(request, stream, upstream)
                    return
                known = request.caller
                caller = request.caller = await self._policy.renew(request, route, frame.token)
                stream.session = caller.session
                caller_known()
                if known is None:
                    await reservations.enter_async_context(self._streams.reserve_for(caller))

            refuse = functools.partial(self._refuse, request, send)
            await _run_until_closed(
                closed,
                _relay_to_service(request, upstream, receive, admit, refuse, closed),
                _relay_to_client(request, upstream, send),
                send=send,
            )

    async def _renew_key(self, request: Request, stream: OpenStream, upstream: ClientConnection) -> None:
        """Renew the token that an API key was exchanged for: clients of OpenAI's API have no frame for it."""
        token = await self._policy.refresh(request)
        if token is not None and request.caller is not None:
            stream.session = request.caller.session
            await upstream.send(auth_frame(token))

    async def _refuse(self, request: Request, send: Send, error: ParleyError) -> ParleyError | None:
        """Refuse a frame. Return the error that ends the WebSocket, or None if it stays open.

        Parley's protocol ends with the first invalid frame. OpenAI's has frames for errors.
        """
        if not speaks_openai(request.path):
            return error
        if isinstance(error, InvalidRequest):  # no limit has counted the frame
            try:
                await self._policy.admit_frame(request, costly=False)
            except ParleyError as refused:
                error = refused
        await send({"type": "websocket.send", "text": openai_error_frame(error)})
        stays_open = isinstance(error, InvalidRequest | RateLimited) and "Connection" not in error.headers
        return None if stays_open else error


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
    request: Request,
    upstream: ClientConnection,
    receive: Receive,
    admit: Callable[[ClientFrame], Awaitable[None]],
    refuse: Callable[[ParleyError], Awaitable[ParleyError | None]],
    closed: "asyncio.Future[Close]",
) -> None:
    """Relay the client's frames as they were parsed, each after it was admitted."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(_sendable(message.get("code")), message.get("reason") or "")
            return
        try:
            frame = read_frame(message, anonymous=request.caller is None)
            await admit(frame)
            await upstream.send(frame.text)
        except ConnectionClosed:
            return
        except ParleyError as error:
            final = await refuse(error)
            if final is not None:
                _resolve(closed, Close(_close_code(final), final.code))
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


def accept_message(request: Request, offered: Sequence[str]) -> dict[str, Any]:
    """Return the ASGI message that accepts a WebSocket, with Parley's subprotocol if the client offered it."""
    return {
        "type": "websocket.accept",
        "subprotocol": PROTOCOL if PROTOCOL in offered else None,
        "headers": [(b"x-request-id", request.request_id.encode())],
    }


def offered_token(subprotocols: Sequence[str]) -> str:
    """Return the token among the offered subprotocols, because browsers cannot set headers on a WebSocket.

    Raise AmbiguousCredentials when there are several.
    """
    tokens = {name.removeprefix(BEARER_PREFIX) for name in subprotocols if name.startswith(BEARER_PREFIX)}
    if len(tokens) > 1:
        raise AmbiguousCredentials
    return tokens.pop() if tokens else ""


def _close_code(error: ParleyError) -> int:
    codes = {InvalidRequest: INVALID_FRAME, Unauthenticated: UNAUTHENTICATED, RateLimited: RATE_LIMITED}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), GOING_AWAY)


def _close_for(reason: StreamTerminated) -> Close:
    return Close(UNAUTHENTICATED if reason.event == "session_revoked" else GOING_AWAY, reason.event)


def _sendable(code: int | None) -> int:
    return NORMAL if code is None or code in _RESERVED else code


def _resolve(future: "asyncio.Future[Close]", close: Close) -> None:
    if not future.done():
        future.set_result(close)
