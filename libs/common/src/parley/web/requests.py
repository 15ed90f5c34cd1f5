"""Rules for every request to a service: HEAD wherever GET, known query parameters, and no body without a use."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any, get_args, get_origin

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from parley.errors import ValidationFailed
from parley.field_errors import FieldError, json_pointer
from parley.web.query_text import form_error, is_utf8

LENIENT_PREFIXES = ("/v1/", "/.well-known/", "/health", "/ready")
"""Paths whose clients add parameters of their own: OpenAI's and OAuth's wire formats, and probes."""
INTERNAL_PREFIX = "/internal/"
"""Routes that services of the previous version call, too: their parameters keep every spelling."""
MAX_INVALID = 20
"""Invalid parameters that a response names."""
_BODY_HEADERS = frozenset({b"content-length", b"transfer-encoding"})
_ROUTED = ("route", "endpoint", "path_params")


async def check_request(connection: HTTPConnection) -> None:
    """Raise ValidationFailed for parameters, or for a body, that the route does not have.

    A dependency of the whole app. It is one, because FastAPI takes 10 us to resolve another.
    """
    _check_parameters(connection)
    await _refuse_unexpected_body(connection)


def _check_parameters(connection: HTTPConnection) -> None:
    """Raise ValidationFailed for query parameters that the route does not have, repeats or could misread."""
    scope = connection.scope
    route = scope.get("route")
    if not scope["query_string"] or not isinstance(route, APIRoute) or scope["path"].startswith(LENIENT_PREFIXES):
        return
    if not is_utf8(scope["query_string"]):
        raise ValidationFailed([FieldError("", "invalid_text", "The query string must be UTF-8.")])
    known, given = _parameters(route), connection.query_params.multi_items()
    count = Counter(name for name, _ in given)
    internal = scope["path"].startswith(INTERNAL_PREFIX)
    errors = (_field_error(name, text, count[name], known, internal=internal) for name, text in dict(given).items())
    found = [error for error in errors if error is not None]
    if found:
        raise ValidationFailed(found[:MAX_INVALID])


async def _refuse_unexpected_body(connection: HTTPConnection) -> None:
    """Raise ValidationFailed for content in the body of a route that has none.

    Clients may send an empty object with every request.
    """
    scope = connection.scope
    if not isinstance(connection, Request) or not any(name in _BODY_HEADERS for name, _ in scope["headers"]):
        return
    route = scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field or "requestBody" in (route.openapi_extra or {}):
        return
    if scope["path"].startswith(LENIENT_PREFIXES):
        return
    if (await connection.body()).strip() not in (b"", b"{}"):
        raise ValidationFailed([FieldError("", "unexpected_body", "This route has no request body. Send none.")])


def _field_error(name: str, text: str, count: int, known: dict[str, object], *, internal: bool) -> FieldError | None:
    pointer = json_pointer(name)
    if name not in known:
        listed = f"Known: {', '.join(known)}." if known else "This route has none."
        return FieldError(pointer, "unknown_parameter", f"This query parameter is not supported. {listed}")
    if count > 1 and not _takes_several(known[name]):
        return FieldError(pointer, "repeated_parameter", "Send this parameter once.")
    wrong = None if internal else form_error(known[name], text)
    return FieldError(pointer, *wrong) if wrong else None


def _parameters(route: APIRoute) -> dict[str, object]:
    """Return the query parameters of a route, and their types."""
    found: dict[str, object] = {}
    pending: list[Dependant] = [route.dependant]
    while pending:
        dependant = pending.pop()
        pending += dependant.dependencies
        found |= {field.alias: field.field_info.annotation for field in dependant.query_params}
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
