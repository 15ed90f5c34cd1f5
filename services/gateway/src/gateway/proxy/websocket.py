"""WebSockets in passing: frames both ways, one at a time, each side as fast as the other."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from gateway.access.streams import Stream, Streams
from gateway.errors import Interrupted
from gateway.proxy.websocket_upstream import BEARER, SWITCHED, open_upstream
from gateway.request import Caller, Request
from gateway.routes import Route
from gateway.upstream.pool import Pool
from parley.errors import ParleyError, RateLimited, Unauthenticated

log = structlog.get_logger()

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Renew = Callable[[Request, Route, str], Awaitable[Caller]]
Goodbye = tuple[int, str]
"""Code and reason of the close."""

PROTOCOL = "parley.v1"
NORMAL, GOING_AWAY, INTERNAL, UNAUTHENTICATED, LIMITED = 1000, 1001, 1011, 4401, 4429
_UNSENDABLE = frozenset({1005, 1006, 1015})


class SocketProxy:
    """Connects a client's WebSocket with the service's."""

    def __init__(self, pools: Mapping[str, Pool], streams: Streams, renew: Renew) -> None:
        """Take the services' pools, for their addresses, and what checks a token that comes over a socket."""
        self._pools, self._streams, self._renew = pools, streams, renew

    async def forward(
        self, request: Request, route: Route, offered: Sequence[str], receive: Receive, send: Send
    ) -> None:
        """Pass frames until one side closes; raises ParleyError when the service does not take the socket."""
        pool = self._pools[route.service]
        address, upstream = await open_upstream(pool, request, offered)
        try:
            await self._relay(request, route, upstream, offered, receive, send)
        finally:
            pool.leave(address)
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
        request.status = SWITCHED
        await send({
            "type": "websocket.accept",
            "subprotocol": PROTOCOL if PROTOCOL in offered else None,
            "headers": [(b"x-request-id", request.request_id.encode())],
        })  # fmt: skip
        ended: asyncio.Future[Goodbye] = asyncio.get_running_loop().create_future()
        session = request.caller.session if request.caller else None
        stream = Stream(session, endless=True, end=lambda reason: _resolve(ended, _goodbye(reason)))
        async with contextlib.AsyncExitStack() as places:
            places.enter_context(self._streams.opened(stream))

            async def check(token: str) -> None:
                known = request.caller
                caller = request.caller = await self._renew(request, route, token)
                stream.session = caller.session
                if known is None:
                    await places.enter_async_context(self._streams.place(caller))

            tasks: list[asyncio.Future[Any]] = [
                asyncio.ensure_future(_to_upstream(upstream, receive, check, ended)),
                asyncio.ensure_future(_to_client(request, upstream, send)),
                ended,
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    code, reason = ended.result()
                    await send({"type": "websocket.close", "code": code, "reason": reason})
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _to_upstream(
    upstream: ClientConnection,
    receive: Receive,
    check: Callable[[str], Awaitable[None]],
    ended: "asyncio.Future[Goodbye]",
) -> None:
    """Pass the client's frames on; those that say who is there are checked first, each as the first credential was."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(_sendable(message.get("code")), message.get("reason") or "")
            return
        data = message.get("text")
        try:
            token = auth_token(data) if data is not None else None
            if token is not None:
                await check(token)
            await upstream.send(data if data is not None else message["bytes"])
        except ConnectionClosed:
            return
        except ParleyError as error:
            _resolve(ended, (_close_code(error), error.code))
            return


async def _to_client(request: Request, upstream: ClientConnection, send: Send) -> None:
    try:
        async for data in upstream:
            request.sent += len(data)
            kind = "text" if isinstance(data, str) else "bytes"
            await send({"type": "websocket.send", kind: data})
    except ConnectionClosed:
        pass
    code = upstream.close_code
    if code in _UNSENDABLE:
        code = INTERNAL if code != 1005 else NORMAL  # noqa: PLR2004 - 1005: closed without a code
    await send({"type": "websocket.close", "code": code or INTERNAL, "reason": upstream.close_reason or ""})


async def refuse(request: Request, error: ParleyError, send: Send) -> None:
    """Refuse a socket; one that is open already is closed as broken."""
    if request.status == SWITCHED:
        await send({"type": "websocket.close", "code": INTERNAL, "reason": error.code})
    else:
        request.status = error.status
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})


def offered_token(subprotocols: Sequence[str]) -> str:
    """Return the token among the offered subprotocols: browsers cannot set headers on sockets."""
    return next((name.removeprefix(BEARER) for name in subprotocols if name.startswith(BEARER)), "")


def auth_token(text: str) -> str | None:
    """Return the token of an ``auth`` frame, None for any other: the service says what is wrong with those."""
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
    return LIMITED if isinstance(error, RateLimited) else GOING_AWAY


def _goodbye(reason: Interrupted) -> Goodbye:
    return (UNAUTHENTICATED if reason.event == "session_revoked" else GOING_AWAY), reason.event


def _sendable(code: int | None) -> int:
    return NORMAL if code is None or code in _UNSENDABLE else code


def _resolve(future: "asyncio.Future[Goodbye]", goodbye: Goodbye) -> None:
    if not future.done():
        future.set_result(goodbye)
