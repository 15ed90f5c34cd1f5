"""Streaming response that detects a client disconnect."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chat.model import Turn
from chat.running.turn_updates import DirectDeltas
from chat.service import ChatService
from parley.web.middleware import RequestInfo
from parley.web.service_protocol import EXTENSION, ResponseStream

EVENT_STREAM = "text/event-stream"
STREAM_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

OnDisconnect = Callable[[], Awaitable[None]]


class StreamingTurnResponse(Response):
    """Streams chunks. The status is sent with the first chunk, so an earlier error is an ordinary error response."""

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        *,
        media_type: str = EVENT_STREAM,
        headers: Mapping[str, str] | None = None,
        on_disconnect: OnDisconnect | None = None,
        direct: DirectDeltas | None = None,
    ) -> None:
        """Set the chunks to stream; ``on_disconnect`` is awaited if the client disconnects before the end.

        ``direct`` gets its ``write`` with the first chunk.
        """
        super().__init__(media_type=media_type, headers={**STREAM_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._chunks, self._on_disconnect, self._direct = chunks, on_disconnect, direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks until they end or the client disconnects."""
        sending = asyncio.create_task(self._send(scope, send))
        disconnecting = asyncio.create_task(_wait_for_disconnect(receive))
        try:
            await asyncio.wait({sending, disconnecting}, return_when=asyncio.FIRST_COMPLETED)
            disconnected = disconnecting.done() and not sending.done()
        finally:
            for task in (sending, disconnecting):
                task.cancel()
            await asyncio.wait({sending, disconnecting})
        if disconnected and self._on_disconnect is not None:
            await self._on_disconnect()
        if not sending.cancelled():
            sending.result()

    async def _send(self, scope: Scope, send: Send) -> None:
        info: RequestInfo = scope["parley"]
        send_part = _sender_of_parts(scope)
        async with contextlib.aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                if not info.response_started:
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                    self._open_direct(scope)
                info.sent += len(chunk)
                await send_part(chunk)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _open_direct(self, scope: Scope) -> None:
        """Let entries be written as soon as they are shown, if the server supports it."""
        stream: ResponseStream | None = scope.get("extensions", {}).get(EXTENSION)
        info: RequestInfo = scope["parley"]
        if self._direct is None or stream is None:
            return

        def write(data: bytes) -> bool:
            sent = stream.send_now(data)
            if sent:
                info.sent += len(data)
            return sent

        self._direct.write = write


def abandonment(service: ChatService, turn: Turn, *, cancel: bool, resumable: bool) -> OnDisconnect | None:
    """Return the ``on_disconnect`` that abandons a turn, or None without ``cancel``."""
    return functools.partial(service.abandon, turn, resumable=resumable) if cancel else None


def _sender_of_parts(scope: Scope) -> Callable[[bytes], Awaitable[None]]:
    """Return a function that sends a part of the body.

    It bypasses the middleware, which only acts on the start of a response: each layer would add CPU to every token.
    """
    stream: ResponseStream | None = scope.get("extensions", {}).get(EXTENSION)
    if stream is not None:
        return stream.send
    info: RequestInfo = scope["parley"]

    async def send_part(chunk: bytes) -> None:
        await info.send({"type": "http.response.body", "body": chunk, "more_body": True})

    return send_part


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
