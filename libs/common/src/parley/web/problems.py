"""Error responses: RFC 9457 problems, with the ``error`` object that OpenAI's SDKs read, and Anthropic's format."""

from http import HTTPStatus
from typing import Any, Literal

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from parley import errors
from parley.errors import ParleyError

MEDIA_TYPE = "application/problem+json"
OPENAI_MEDIA_TYPE = "application/json"
OPENAI_ROOT, ANTHROPIC_ROOT = "/v1", "/v1/messages"
ErrorFormat = Literal["problem", "openai", "anthropic"]
DOCS_PATH = "/docs/errors"
_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

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


def anthropic_error(status: int, code: str, message: str, request_id: str) -> dict[str, Any]:
    """Return an error in Anthropic's format, with Parley's code."""
    other = "api_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    found = {"type": _ANTHROPIC_TYPES.get(status, other), "message": message, "code": code}
    return {"type": "error", "error": found, "request_id": request_id}


def speaks_anthropic(path: str) -> bool:
    """Return whether a path belongs to Anthropic's API."""
    return path == ANTHROPIC_ROOT or path.startswith(f"{ANTHROPIC_ROOT}/")


def error_format(path: str) -> ErrorFormat:
    """Return the format of the errors of a path."""
    if speaks_anthropic(path):
        return "anthropic"
    return "openai" if speaks_openai(path) else "problem"


def problem_body(error: ParleyError, *, instance: str, request_id: str, base_url: str) -> dict[str, Any]:
    """Return the response body of an error."""
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
        "error": openai_error(error),
    }


def openai_error(error: ParleyError) -> dict[str, Any]:
    """Return the ``error`` object of OpenAI's API."""
    return {
        "message": error.errors[0].sentence() if error.errors else error.detail,
        "type": openai_type(error.status, error.code),
        "param": error.errors[0].name if error.errors else None,
        "code": error.code,
    }


def openai_error_frame(error: ParleyError) -> str:
    """Return an error as a text frame of OpenAI's WebSockets, with the headers that a response would have."""
    shown = {name: value for name, value in error.headers.items() if name != "Connection"}
    found = openai_error(error) | ({"headers": shown} if shown else {})
    return orjson.dumps({"type": "error", "status": error.status, "error": found}).decode()


def speaks_openai(path: str) -> bool:
    """Return whether a path is below the root of OpenAI's API."""
    return path == OPENAI_ROOT or path.startswith(f"{OPENAI_ROOT}/")


def error_body(error: ParleyError, *, instance: str, request_id: str, base_url: str) -> tuple[bytes, str]:
    """Return the response body of an error and its media type.

    The format is Anthropic's below ``/v1/messages``, OpenAI's elsewhere below ``/v1``, and a problem on other paths.
    """
    body = problem_body(error, instance=instance, request_id=request_id, base_url=base_url)
    shape = error_format(instance)
    if shape == "anthropic":
        found = anthropic_error(error.status, error.code, body["error"]["message"], request_id)
        if error.anthropic_details is not None:
            found["error"]["details"] = error.anthropic_details
        return orjson.dumps(found), OPENAI_MEDIA_TYPE
    if shape == "openai":
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
