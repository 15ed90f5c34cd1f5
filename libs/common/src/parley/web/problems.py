"""Error responses: RFC 9457 problems, with the ``error`` object that OpenAI's SDKs read."""

import contextlib
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from parley import errors
from parley.errors import FieldError, ParleyError

MEDIA_TYPE = "application/problem+json"
OPENAI_MEDIA_TYPE = "application/json"
OPENAI_ROOT = "/v1"
DOCS_PATH = "/docs/errors"
MAX_ERRORS = 100
"""Maximum number of field errors in a response; further ones are left out."""
MAX_POINTER_SEGMENT = 64
"""Maximum length of a client's field name in a JSON pointer; longer names are truncated."""

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

_BY_STATUS: dict[int, type[ParleyError]] = {
    400: errors.InvalidRequest,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    406: errors.NotAcceptable,
    413: errors.BodyTooLarge,
    431: errors.HeadersTooLarge,
}

_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_member",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "too_long": "too_long",
    "too_short": "too_short",
    "string_unicode": "invalid_text",
    "string_pattern_mismatch": "invalid_format",
}

_DETAILS = {
    "missing": "This field is required.",
    "extra_forbidden": "This field is not supported.",
    "string_too_long": "Must have at most {max_length} characters.",
    "string_too_short": "Must have at least {min_length} characters.",
    "too_long": "Must have at most {max_length} {unit}.",
    "too_short": "Must have at least {min_length} {unit}.",
    "string_type": "Must be a string.",
    "string_unicode": "Must be valid Unicode text.",
    "int_type": "Must be an integer.",
    "int_parsing": "Must be an integer.",
    "int_from_float": "Must be an integer.",
    "float_type": "Must be a number.",
    "float_parsing": "Must be a number.",
    "finite_number": "Must be a finite number.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
    "dict_type": "Must be an object.",
    "model_type": "Must be an object.",
    "model_attributes_type": "Must be an object.",
    "list_type": "Must be an array.",
    "uuid_parsing": "Must be a UUID.",
    "uuid_type": "Must be a UUID.",
    "uuid_version": "Must be a version {expected_version} UUID.",
    "greater_than_equal": "Must be at least {ge}.",
    "greater_than": "Must be greater than {gt}.",
    "less_than_equal": "Must be at most {le}.",
    "less_than": "Must be less than {lt}.",
    "enum": "Must be {expected}.",
    "literal_error": "Must be {expected}.",
}


class FieldValueError(ValueError):
    """A validation error with its own code and detail, for use in pydantic validators.

    Both are sent to the client, so neither may contain the submitted value.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def openai_type(status: int, code: str) -> str:
    """Return the ``error.type`` of a status; OpenAI's SDKs choose their exception class by it."""
    if code == "quota_exceeded":
        return "insufficient_quota"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "api_error"
    return _OPENAI_TYPES.get(status, "invalid_request_error")


def problem_body(error: ParleyError, *, instance: str, request_id: str, base_url: str) -> dict[str, Any]:
    """Return the response body of an error."""
    first = error.errors[0] if error.errors else None
    param = first.pointer.strip("/").replace("/", ".") or None if first else None
    message = f"{param}: {first.detail}" if first and param else error.detail
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
            "message": message,
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


def from_validation(found: Sequence[Any]) -> ParleyError:
    """Convert pydantic's error list; submitted values are left out."""
    if any(e["type"] == "json_invalid" for e in found):
        return errors.InvalidJson()
    return errors.ValidationFailed(_field_error(e) for e in found[:MAX_ERRORS])


def from_http(error: HTTPException) -> ParleyError:
    """Convert an exception of the web framework."""
    if error.status_code == HTTPStatus.BAD_REQUEST and "pars" in str(error.detail):
        return errors.InvalidJson()
    if error.status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return errors.UnsupportedMediaType()
    kind = _BY_STATUS.get(error.status_code, errors.InternalError)
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
        return answer(request, from_validation(error.errors()))

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
    found = (m for m in _METHODS if any(r.matches({**request.scope, "method": m})[0] is Match.FULL for r in routes))
    return ", ".join(found)


def _field_error(found: dict[str, Any]) -> FieldError:
    pointer = _pointer(found["loc"])
    kind, context = str(found["type"]), found.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, FieldValueError):
        return FieldError(pointer, cause.code, cause.detail)
    unit = "entries" if context.get("field_type") in {"List", "Dictionary", "Set", "Tuple"} else "characters"
    detail = "This value is invalid."
    with contextlib.suppress(KeyError, IndexError):
        detail = _DETAILS[kind].format(unit=unit, **context)
    return FieldError(pointer, _CODES.get(kind, kind), detail)


def _pointer(loc: Sequence[Any]) -> str:
    segments = loc[1:] if loc and loc[0] in {"body", "query", "path", "header"} else loc
    escaped = (str(s)[:MAX_POINTER_SEGMENT].replace("~", "~0").replace("/", "~1") for s in segments)
    return "".join(f"/{segment}" for segment in escaped)
