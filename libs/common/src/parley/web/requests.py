"""Rules for every request to a service: HEAD wherever GET, and no query parameter that the route does not know."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley.errors import ValidationFailed
from parley.field_errors import FieldError, json_pointer

LENIENT_PREFIXES = ("/v1/", "/.well-known/", "/health", "/ready")
"""Paths whose clients add parameters of their own: OpenAI's and OAuth's wire formats, and probes."""
MAX_UNKNOWN = 20
"""Unknown parameters that a response names."""
_ROUTED = ("route", "endpoint", "path_params")


async def refuse_unknown_parameters(connection: HTTPConnection) -> None:
    """Raise ValidationFailed for query parameters that the route does not have, or has more than once.

    A dependency of the whole app.
    """
    scope = connection.scope
    route = scope.get("route")
    if not scope["query_string"] or not isinstance(route, APIRoute) or scope["path"].startswith(LENIENT_PREFIXES):
        return
    known = _parameters(route)
    given = Counter(name for name, _ in connection.query_params.multi_items())
    found = [_field_error(name, known) for name, count in given.items() if name not in known or count > known[name]]
    if found:
        raise ValidationFailed(found[:MAX_UNKNOWN])


def _field_error(name: str, known: dict[str, float]) -> FieldError:
    pointer = json_pointer(name)
    if name in known:
        return FieldError(pointer, "repeated_parameter", "Send this parameter once.")
    listed = f"Known: {', '.join(known)}." if known else "This route has none."
    return FieldError(pointer, "unknown_parameter", f"This query parameter is not supported. {listed}")


def _parameters(route: APIRoute) -> dict[str, float]:
    """Return the query parameters of a route, and how often each may be sent."""
    found: dict[str, float] = {}
    pending: list[Dependant] = [route.dependant]
    while pending:
        dependant = pending.pop()
        pending += dependant.dependencies
        for field in dependant.query_params:
            found[field.alias] = float("inf") if _takes_several(field.field_info.annotation) else 1
    return found


def _takes_several(annotation: object) -> bool:
    return get_origin(annotation) in {list, set, tuple} or any(map(_takes_several, get_args(annotation)))


class HeadRequests:
    """Answers HEAD like GET without the body. A stream ends after its head."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        streaming = asyncio.Event()

        async def send_head(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif message.get("more_body"):
                streaming.set()
                await asyncio.Event().wait()  # until the app is cancelled
            else:
                await send({"type": "http.response.body", "body": b""})

        inner = {**scope, "method": "GET", "extensions": {}}
        if "parley" in scope:
            scope["parley"].send = send_head
        await _run_until(streaming, self.app(inner, receive, send_head))
        scope.update((name, inner[name]) for name in _ROUTED if name in inner)
        if streaming.is_set():
            await send({"type": "http.response.body", "body": b""})


async def _run_until(stopped: asyncio.Event, app: Awaitable[None]) -> None:
    """Run the app until it ends, or cancel it when ``stopped`` is set."""
    running: asyncio.Future[Any] = asyncio.ensure_future(app)
    waiting: asyncio.Future[Any] = asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        for task in (running, waiting):
            task.cancel()
        await asyncio.gather(running, waiting, return_exceptions=True)
