"""The provider as an ASGI application: OpenAI's routes, and `/_control` for its tests."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fake_provider.chat_completions import ChatEndpoint
from fake_provider.errors import error_body
from fake_provider.journal import Journal
from fake_provider.knob_resolver import KnobChoice
from fake_provider.knobs import MAX_WAIT_S, InvalidKnobError, Knobs

CHAT_PATH = "/v1/chat/completions"
MAX_CONTROL_BODY = 4 * 1024 * 1024


class BadControlError(Exception):
    """A control request that makes no sense."""


def create_app(
    knobs: Knobs | None = None,
    *,
    models: Sequence[str] = ("fake",),
    journal: Journal | None = None,
    longest_wait: float = MAX_WAIT_S,
) -> ASGIApp:
    """Build the provider.

    `knobs` is where every call starts from, `models` is what `GET /v1/models` lists (any name is answered), and
    `longest_wait` bounds a hang or an unlimited stall, in seconds.
    """
    calls = journal or Journal()
    choice = KnobChoice(knobs or Knobs())
    chat = ChatEndpoint(calls, choice, longest_wait=longest_wait)
    others = Starlette(
        routes=[*_openai_routes(models), *_Control(calls, choice).routes()],
        exception_handlers={
            HTTPException: _not_found,
            InvalidKnobError: _invalid_knob,
            BadControlError: _bad_control,
        },
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        fast = scope["type"] == "http" and scope["path"] == CHAT_PATH and scope["method"] == "POST"
        await (chat if fast else others)(scope, receive, send)

    return app


def _openai_routes(models: Sequence[str]) -> list[Route]:
    async def listing(_: Request) -> Response:
        return _json({"object": "list", "data": [_model(name) for name in models]})

    async def one(request: Request) -> Response:
        return _json(_model(request.path_params["name"]))

    async def only_post(_: Request) -> Response:
        raise HTTPException(405)

    return [Route("/v1/models", listing), Route("/v1/models/{name:path}", one), Route(CHAT_PATH, only_post)]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake-provider"}


class _Control:
    """The routes that tests use: knobs, script, journal."""

    def __init__(self, journal: Journal, choice: KnobChoice) -> None:
        self._journal = journal
        self._choice = choice

    def routes(self) -> list[Route]:
        return [
            Route("/_control/knobs", self.show_knobs),
            Route("/_control/knobs", self.set_knobs, methods=["PUT"]),
            Route("/_control/script", self.append_script, methods=["POST"]),
            Route("/_control/script", self.clear_script, methods=["DELETE"]),
            Route("/_control/journal", self.show_journal),
            Route("/_control/journal", self.clear_journal, methods=["DELETE"]),
        ]

    async def show_knobs(self, _: Request) -> Response:
        return _json({"knobs": self._choice.current.model_dump(), "scripted": self._choice.scripted})

    async def set_knobs(self, request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body, dict):
            raise BadControlError("the knobs must be one JSON object")
        self._choice.set(body)
        return await self.show_knobs(request)

    async def append_script(self, request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body, list) or not all(isinstance(step, dict) for step in body):
            raise BadControlError("the script must be a JSON list of knob objects")
        self._choice.append_script(body)
        return _json({"scripted": self._choice.scripted})

    async def clear_script(self, _: Request) -> Response:
        self._choice.clear_script()
        return Response(status_code=204)

    async def show_journal(self, request: Request) -> Response:
        contains = request.query_params.get("contains", "")
        if contains and not self._journal.bodies:
            raise BadControlError("contains: this journal keeps no bodies")
        entries = self._journal.select(
            since=_number(request, "since") or 0, limit=_number(request, "limit"), contains=contains
        )
        return _json({**self._journal.summary(), "entries": entries})

    async def clear_journal(self, _: Request) -> Response:
        self._journal.clear()
        return Response(status_code=204)


async def _body(request: Request) -> Any:
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > MAX_CONTROL_BODY:
            raise BadControlError(f"the body is larger than {MAX_CONTROL_BODY} bytes")
    try:
        return orjson.loads(parts)
    except orjson.JSONDecodeError as error:
        raise BadControlError(f"the body is not JSON: {error}") from None


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:  # noqa: PLR2004
        raise BadControlError(f"{name} must be a whole number")
    return int(text)


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _refusal(status: int, body: bytes) -> Response:
    return Response(body, status, media_type="application/json")


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = f"Invalid URL ({request.method} {request.url.path})"
    return _refusal(status, error_body(message, "invalid_request_error"))


async def _invalid_knob(_: Request, error: Exception) -> Response:
    knob = error.knob if isinstance(error, InvalidKnobError) else None
    return _refusal(400, error_body(str(error), "invalid_request_error", param=knob, code="invalid_knob"))


async def _bad_control(_: Request, error: Exception) -> Response:
    return _refusal(400, error_body(str(error), "invalid_request_error", code="invalid_control"))
