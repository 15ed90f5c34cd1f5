"""Error responses: RFC 9457 problems, with the ``error`` object that OpenAI's SDKs read."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response

from parley import errors
from parley.errors import ParleyError

MEDIA_TYPE = "application/problem+json"
OPENAI_MEDIA_TYPE = "application/json"
OPENAI_ROOT = "/v1"
DOCS_PATH = "/docs/errors"
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
