"""WebSockets in passing: frames both ways, one at a time, each side as fast as the other."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from gateway.connection import Unreachable
from gateway.errors import Interrupted, UpstreamUnavailable
from gateway.request import Request
from gateway.routes import Route
from gateway.streams import Stream, Streams
from gateway.upstream import Pool
from parley.errors import ParleyError

log = structlog.get_logger()

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

PROTOCOL = "parley.v1"
BEARER = "parley.bearer."
MAX_FRAME = 1_048_576
MAX_QUEUE = 4
"""Frames that wait here from the upstream before it is paused."""
OPEN_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
NORMAL, GOING_AWAY, INTERNAL, UNAUTHENTICATED = 1000, 1001, 1011, 4401
_UNSENDABLE = frozenset({1005, 1006, 1015})
_SWITCHED = 101


class SocketProxy:
    """Connects a client's WebSocket with the service's."""

    def __init__(self, pools: Mapping[str, Pool], streams: Streams) -> None:
        """Take the services' pools, for their addresses."""
        self._pools, self._streams = pools, streams

    async def forward(
        self, request: Request, route: Route, offered: Sequence[str], receive: Receive, send: Send
    ) -> None:
        """Pass frames until one side closes; raises ParleyError when the service does not take the socket."""
        pool = self._pools[route.service]
        address = pool.choose()
        address.active += 1
        try:
            upstream = await self._connect(pool, f"ws://{address.authority.decode()}{request.path}", request, offered)
            address.succeeded()
            try:
                await self._relay(request, upstream, offered, receive, send)
            finally:
                await upstream.close()
        except Unreachable as failure:
            pool.note_failure(address, failure)
            raise UpstreamUnavailable from None
        finally:
            pool.leave(address)

    @staticmethod
    async def _connect(pool: Pool, url: str, request: Request, offered: Sequence[str]) -> ClientConnection:
        del pool
        try:
            return await connect(
                url,
                subprotocols=[Subprotocol(name) for name in offered] or None,
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
        except (OSError, TimeoutError, InvalidHandshake):
            raise Unreachable from None

    async def _relay(
        self, request: Request, upstream: ClientConnection, offered: Sequence[str], receive: Receive, send: Send
    ) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        request.status = _SWITCHED
        await send({
            "type": "websocket.accept",
            "subprotocol": PROTOCOL if PROTOCOL in offered else None,
            "headers": [(b"x-request-id", request.request_id.encode())],
        })  # fmt: skip
        ended: asyncio.Future[Interrupted] = asyncio.get_running_loop().create_future()
        session = request.caller.session if request.caller else None
        with self._streams.opened(Stream(session, endless=True, end=lambda reason: _resolve(ended, reason))):
            tasks: list[asyncio.Future[Any]] = [
                asyncio.ensure_future(_to_upstream(upstream, receive)),
                asyncio.ensure_future(_to_client(request, upstream, send)),
                ended,
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if ended.done():
                    await send(_goodbye(ended.result()))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _to_upstream(upstream: ClientConnection, receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(_sendable(message.get("code")), message.get("reason") or "")
            return
        data = message.get("text")
        try:
            await upstream.send(data if data is not None else message["bytes"])
        except ConnectionClosed:
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
    if request.status == _SWITCHED:
        await send({"type": "websocket.close", "code": INTERNAL, "reason": error.code})
    else:
        request.status = error.status
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})


def offered_token(subprotocols: Sequence[str]) -> str:
    """Return the token among the offered subprotocols: browsers cannot set headers on sockets."""
    return next((name.removeprefix(BEARER) for name in subprotocols if name.startswith(BEARER)), "")


def _headers(request: Request) -> list[tuple[str, str]]:
    headers = [
        ("x-request-id", request.request_id),
        ("x-forwarded-for", request.client.text),
        ("x-forwarded-proto", request.scheme.decode()),
        ("x-forwarded-host", request.host.decode("latin-1")),
        ("via", "1.1 parley"),
        ("traceparent", request.traceparent().decode()),
    ]
    if request.caller is not None:
        headers.append(("authorization", f"Bearer {request.caller.principal.token}"))
    origin = request.found.get(b"origin")
    if origin:
        headers.append(("origin", origin.decode("latin-1")))
    return headers


def _goodbye(reason: Interrupted) -> dict[str, Any]:
    code = UNAUTHENTICATED if reason.event == "session_revoked" else GOING_AWAY
    return {"type": "websocket.close", "code": code, "reason": reason.event}


def _sendable(code: int | None) -> int:
    return NORMAL if code is None or code in _UNSENDABLE else code


def _resolve(future: "asyncio.Future[Interrupted]", reason: Interrupted) -> None:
    if not future.done():
        future.set_result(reason)
