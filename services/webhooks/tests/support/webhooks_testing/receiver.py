"""A receiver of webhooks on this machine."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The id of the event."""
        return self.headers["webhook-id"]

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """Records requests, and answers each with ``status`` or as ``answer`` does."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.status = 204
        self.answer: Answer | None = None
        self.open = self.most_open = 0
        self.url = ""

    @property
    def ids(self) -> list[str]:
        """The ids of the events, in order of arrival."""
        return [request.id for request in self.requests]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record a request and answer it."""
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            headers = {name.lower(): value for name, value in request.headers.items()}
            self.requests.append(Received(headers, await request.read()))
            return await self.answer(request) if self.answer else web.Response(status=self.status)
        finally:
            self.open -= 1


@contextlib.asynccontextmanager
async def open_receiver() -> AsyncIterator[Receiver]:
    """Listen on a free port."""
    receiver = Receiver()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        receiver.url = f"http://127.0.0.1:{port}/hook"
        yield receiver
    finally:
        async with asyncio.timeout(10):
            await runner.cleanup()
