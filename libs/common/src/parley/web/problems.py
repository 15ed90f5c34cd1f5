"""Error responses: RFC 9457 problems, with the ``error`` object that OpenAI's SDKs read."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from parley import errors
from parley.errors import ParleyError
from parley.web.validation import from_validation

MEDIA_TYPE = "application/problem+json"
OPENAI_MEDIA_TYPE = "application/json"
OPENAI_ROOT = "/v1"
DOCS_PATH = "/docs/errors"
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

_BY_STATUS: dict[int, type[ParleyError]] = {
    400: errors.InvalidRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    413: errors.BodyTooLarge,
    414: errors.HeadersTooLarge,
    431: errors.HeadersTooLarge,
}


def openai_type(status: int, code: str) -> str:
    """Return the ``error.type`` of a status; OpenAI's SDKs choose their exception class by it."""
    if code == "quota_exceeded":
        return "insufficient_quota"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "api_error"
    return _OPENAI_TYPES.get(status, "invalid_request_error")


def problem_body(error: ParleyError, *, instance: str, request_id: str, base_url: str) -> dict[str, Any]:
    """Return the response body of an error."""
    param = error.errors[0].name if error.errors else None
    return {
        "type": f"{base_url}{DOCS_PATH}#{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "request_id": request_id,
        "errors": [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in error.errors],
        **error.members,
        "error": {
            "message": error.errors[0].sentence() if error.errors else error.detail,
            "type": openai_type(error.status, error.code),
            "param": param,
            "code": error.code,
        },
    }


def speaks_openai(path: str) -> bool:
    """Return whether a path belongs to OpenAI's API."""
    return path == OPENAI_ROOT or path.startswith(f"{OPENAI_ROOT}/")


def error_body(error: ParleyError, *, instance: str, request_id: str, base_url: str) -> tuple[bytes, str]:
    """Return the response body of an error and its media type: OpenAI's format below ``/v1``, else a problem."""
    body = problem_body(error, instance=instance, request_id=request_id, base_url=base_url)
    if speaks_openai(instance):
        return orjson.dumps({"error": body["error"]}), OPENAI_MEDIA_TYPE
    return orjson.dumps(body), MEDIA_TYPE


def problem_response(error: ParleyError, *, instance: str, request_id: str, base_url: str) -> Response:
    """Return the response of an error."""
    body, media_type = error_body(error, instance=instance, request_id=request_id, base_url=base_url)
    return Response(body, status_code=error.status, headers=error.headers, media_type=media_type)


def from_http(error: HTTPException) -> ParleyError:
    """Convert an exception of the web framework."""
    if error.status_code == HTTPStatus.BAD_REQUEST and "pars" in str(error.detail):
        return errors.InvalidJson()
    if error.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return errors.UnsupportedMediaType()
    is_client_error = HTTPStatus.BAD_REQUEST <= error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    kind = _BY_STATUS.get(error.status_code, errors.InvalidRequest if is_client_error else errors.InternalError)
    return kind(headers=error.headers)


def install_handlers(app: FastAPI, *, base_url: str) -> None:
    """Register exception handlers that respond with a problem."""

    def answer(request: Request, error: ParleyError) -> Response:
        request_id = request.scope["parley"].request_id
        return problem_response(error, instance=request.url.path, request_id=request_id, base_url=base_url)

    async def on_parley_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ParleyError)
        return answer(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, from_validation(error.errors(), error.body))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        # FastAPI reports every failure to read the body as a parse error, with the original exception as its cause.
        cause = error.__cause__
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return answer(request, errors.MethodNotAllowed(headers={"Allow": _allowed(request)}))
        return answer(request, cause if isinstance(cause, ParleyError) else from_http(error))

    app.add_exception_handler(ParleyError, on_parley_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)


def _allowed(request: Request) -> str:
    """Return all methods of the path. Starlette reports only those of the first matching route."""
    routes = request.app.router.routes
    found = [m for m in _METHODS if any(r.matches({**request.scope, "method": m})[0] is Match.FULL for r in routes)]
    return ", ".join(sorted({*found, "HEAD"}) if "GET" in found else found)
