"""ASGI application of the provider: routes of OpenAI and Anthropic, and `/_control` for tests."""

from collections.abc import Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fake_provider.anthropic_messages import AnthropicApi
from fake_provider.embeddings import EmbeddingsApi
from fake_provider.endpoint import ModelEndpoint
from fake_provider.errors import error_body
from fake_provider.journal import CallJournal
from fake_provider.knob_resolver import KnobResolver
from fake_provider.knobs import MAX_WAIT_S, InvalidKnobError, Knobs

CHAT_PATH = "/v1/chat/completions"
MESSAGES_PATH = "/v1/messages"
EMBEDDINGS_PATH = "/v1/embeddings"
MAX_CONTROL_BODY_BYTES = 4 * 1024 * 1024


class InvalidControlRequestError(Exception):
    """A control request is invalid."""


def create_app(
    knobs: Knobs | None = None,
    *,
    models: Sequence[str] = ("fake",),
    journal: CallJournal | None = None,
    longest_wait: float = MAX_WAIT_S,
) -> ASGIApp:
    """Return the application.

    `knobs` are the initial knobs of every call. `GET /v1/models` lists `models`; requests may use any name.
    `longest_wait` is the maximum duration of a hang or stall, in seconds.
    """
    call_journal = journal or CallJournal()
    resolver = KnobResolver(knobs or Knobs())
    calls = {
        CHAT_PATH: ModelEndpoint(call_journal, resolver, longest_wait=longest_wait),
        MESSAGES_PATH: ModelEndpoint(call_journal, resolver, AnthropicApi(), longest_wait=longest_wait),
        EMBEDDINGS_PATH: ModelEndpoint(call_journal, resolver, EmbeddingsApi(), longest_wait=longest_wait),
    }
    others = Starlette(
        routes=[*_openai_routes(models), *_ControlRoutes(call_journal, resolver).routes()],
        exception_handlers={
            HTTPException: _not_found,
            InvalidKnobError: _invalid_knob,
            InvalidControlRequestError: _invalid_control_request,
        },
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call = calls.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        await (call or others)(scope, receive, send)

    return app


def _openai_routes(models: Sequence[str]) -> list[Route]:
    async def listing(_: Request) -> Response:
        return _json({"object": "list", "data": [_model(name) for name in models]})

    async def one(request: Request) -> Response:
        return _json(_model(request.path_params["name"]))

    async def only_post(_: Request) -> Response:
        raise HTTPException(405)

    posts = [Route(path, only_post) for path in (CHAT_PATH, MESSAGES_PATH, EMBEDDINGS_PATH)]
    return [Route("/v1/models", listing), Route("/v1/models/{name:path}", one), *posts]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake-provider"}


class _ControlRoutes:
    """Routes that tests use: knobs, script and journal."""

    def __init__(self, journal: CallJournal, resolver: KnobResolver) -> None:
        self._journal = journal
        self._resolver = resolver

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
        return _json({"knobs": self._resolver.current.model_dump(), "scripted": self._resolver.scripted})

    async def set_knobs(self, request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body, dict):
            raise InvalidControlRequestError("the knobs must be one JSON object")
        self._resolver.set(body)
        return await self.show_knobs(request)

    async def append_script(self, request: Request) -> Response:
        body = await _body(request)
        if not isinstance(body, list) or not all(isinstance(step, dict) for step in body):
            raise InvalidControlRequestError("the script must be a JSON list of knob objects")
        self._resolver.append_script(body)
        return _json({"scripted": self._resolver.scripted})

    async def clear_script(self, _: Request) -> Response:
        self._resolver.clear_script()
        return Response(status_code=204)

    async def show_journal(self, request: Request) -> Response:
        contains = request.query_params.get("contains", "")
        if contains and not self._journal.bodies:
            raise InvalidControlRequestError("contains: this journal does not store request bodies")
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
        if len(parts) > MAX_CONTROL_BODY_BYTES:
            raise InvalidControlRequestError(f"the body is larger than {MAX_CONTROL_BODY_BYTES} bytes")
    try:
        return orjson.loads(parts)
    except orjson.JSONDecodeError as error:
        raise InvalidControlRequestError(f"the body is not JSON: {error}") from None


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 12:  # noqa: PLR2004
        raise InvalidControlRequestError(f"{name} must be a whole number")
    return int(text)


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")


def _error_response(status: int, body: bytes) -> Response:
    return Response(body, status, media_type="application/json")


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    message = f"Invalid URL ({request.method} {request.url.path})"
    return _error_response(status, error_body(message, "invalid_request_error"))


async def _invalid_knob(_: Request, error: Exception) -> Response:
    knob = error.knob if isinstance(error, InvalidKnobError) else None
    return _error_response(400, error_body(str(error), "invalid_request_error", param=knob, code="invalid_knob"))


async def _invalid_control_request(_: Request, error: Exception) -> Response:
    return _error_response(400, error_body(str(error), "invalid_request_error", code="invalid_control"))
