"""ASGI lifespan, driven outside the server: starts before the first connection, ends after the last."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from starlette.types import ASGIApp, Message


@contextlib.asynccontextmanager
async def lifespan(app: ASGIApp) -> AsyncIterator[None]:
    """Run the lifespan of an ASGI app while the context is open; exceptions of startup and shutdown propagate."""
    to_app: asyncio.Queue[Message] = asyncio.Queue()  # nosemgrep: unbounded-queue - two messages
    complete = {name: asyncio.Event() for name in ("lifespan.startup.complete", "lifespan.shutdown.complete")}

    async def send(message: Message) -> None:
        if message["type"] in complete:
            complete[message["type"]].set()

    task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}}, to_app.get, send))
    try:
        to_app.put_nowait({"type": "lifespan.startup"})
        await _wait_for_phase(task, complete["lifespan.startup.complete"])
        try:
            yield
        finally:
            to_app.put_nowait({"type": "lifespan.shutdown"})
            await _wait_for_phase(task, complete["lifespan.shutdown.complete"])
            await task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _wait_for_phase(task: "asyncio.Future[Any]", complete: asyncio.Event) -> None:
    """Wait until the app completes a phase; raise its exception if it ends instead."""
    waiting: asyncio.Future[Any] = asyncio.ensure_future(complete.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done() and not complete.is_set():
        task.result()
        raise RuntimeError("the app ended its lifespan without completing it")
