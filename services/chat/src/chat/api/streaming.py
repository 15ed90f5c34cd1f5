"""Streaming response that detects a client disconnect."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from parley.web.middleware import RequestInfo

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
        on_leave: OnDisconnect | None = None,
    ) -> None:
        """Set the chunks to stream; ``on_leave`` is awaited if the client disconnects before the end."""
        super().__init__(media_type=media_type, headers={**STREAM_HEADERS, **(headers or {})})
        del self.headers["content-length"]
        self._chunks, self._on_leave = chunks, on_leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks until they end or the client disconnects."""
        sending = asyncio.create_task(self._send(scope["parley"], send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            left = leaving.done() and not sending.done()
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.wait({sending, leaving})
        if left and self._on_leave is not None:
            await self._on_leave()
        if not sending.cancelled():
            sending.result()

    async def _send(self, info: RequestInfo, send: Send) -> None:
        # Bypasses the middleware, which only acts on the start of a response: each layer would add CPU to every token.
        async with contextlib.aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                if not info.response_started:
                    await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                info.sent += len(chunk)
                await info.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
