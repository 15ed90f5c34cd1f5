"""Errors of each operation: those that the route declares, and those of every route of its kind."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import gateway.errors
from gateway.routes import PUBLIC, Route
from parley import errors
from parley.errors import ParleyError
from parley.web.openapi import EXAMPLE_ID
from parley.web.problems import ErrorFormat, anthropic_error, openai_type, speaks_openai
from parley_cli.documents.errors import catalogue

Kinds = tuple[type[ParleyError], ...]

PROBLEM, OPENAI_ERROR = "application/problem+json", "application/json"
SCHEMAS: dict[ErrorFormat, str] = {"problem": "Problem", "openai": "OpenAiError", "anthropic": "AnthropicError"}
_EXAMPLES: dict[ErrorFormat, str] = {"problem": "", "openai": "openai.", "anthropic": "anthropic."}
"""Names of the schemas, and prefixes of the examples, of each format."""
PHRASES = {
    "400": "Bad Request",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "Not Found",
    "409": "Conflict",
    "410": "Gone",
    "412": "Precondition Failed",
    "413": "Content Too Large",
    "415": "Unsupported Media Type",
    "416": "Range Not Satisfiable",
    "422": "Unprocessable Content",
    "429": "Too Many Requests",
    "431": "Request Header Fields Too Large",
    "500": "Internal Server Error",
    "502": "Bad Gateway",
    "503": "Service Unavailable",
    "504": "Gateway Timeout",
}
"""Phrases of RFC 9110. Those of ``http.HTTPStatus`` differ between versions of Python."""
EVERYWHERE: Kinds = (
    errors.InvalidRequest,
    errors.RateLimited,
    errors.HeadersTooLarge,
    errors.InternalError,
    gateway.errors.UpstreamBroken,
    errors.DependencyUnavailable,
    errors.Overloaded,
    errors.Draining,
    gateway.errors.UpstreamTimeout,
)
WITH_CREDENTIALS: Kinds = (
    errors.AmbiguousCredentials,
    errors.CredentialsMissing,
    errors.TokenInvalid,
    errors.TokenExpired,
    errors.TokenRevoked,
    errors.ApiKeyInvalid,
)
WITH_SCOPE: Kinds = (errors.InsufficientScope,)
WITH_BODY: Kinds = (errors.BodyTooLarge, errors.UnsupportedMediaType)
STREAMED: Kinds = (gateway.errors.TooManyStreams,)
HEADERS = {
    "401": ("WWW-Authenticate",),
    "403": ("WWW-Authenticate",),
    "409": ("x-should-retry",),
    "412": ("x-should-retry",),
    "415": ("Accept-Post",),
    "416": ("Content-Range",),
    "429": ("Retry-After", "x-should-retry"),
    "502": ("x-should-retry",),
    "503": ("Retry-After",),
}
"""Headers of the errors with a status, besides those of every response."""


def codes_by_status(route: Route, path: str, operation: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the sorted codes of an operation by status."""
    kinds = list(EVERYWHERE)
    if route.scope is not PUBLIC:
        kinds += WITH_CREDENTIALS
    if route.scope:
        kinds += WITH_SCOPE
    if "requestBody" in operation:
        kinds += WITH_BODY
    if route.stream:
        kinds += STREAMED
    if not speaks_openai(path):
        kinds.append(errors.ValidationFailed)  # every route refuses unknown query parameters
    found = defaultdict(set)
    for kind in kinds:
        found[str(kind.status)].add(kind.code)
    for status, response in operation.get("responses", {}).items():
        found[status].update(response.get("x-codes", ()))
    return {status: tuple(sorted(codes)) for status, codes in sorted(found.items()) if codes}


def response(status: str, codes: Iterable[str], shape: ErrorFormat) -> dict[str, Any]:
    """Return the response of an operation with one of these codes."""
    prefix = _EXAMPLES[shape]
    examples = {code: {"$ref": f"#/components/examples/{prefix}{code}"} for code in codes}
    schema = {"$ref": f"#/components/schemas/{SCHEMAS[shape]}"}
    return {
        "description": f"{PHRASES[status]}: " + ", ".join(f"`{code}`" for code in codes),
        "content": {_media_type(shape): {"schema": schema, "examples": examples}},
    }


def default_response(shape: ErrorFormat) -> dict[str, Any]:
    """Return the response with any other error."""
    schema = {"$ref": f"#/components/schemas/{SCHEMAS[shape]}"}
    content = {_media_type(shape): {"schema": schema}}
    return {"description": "Another error; see `/docs/errors`.", "content": content}


def examples() -> dict[str, Any]:
    """Return an example of each code, in each format."""
    found = {}
    for code, kind in _kinds().items():
        detail = (kind.__doc__ or kind.title).strip().splitlines()[0]
        error = {"message": detail, "type": openai_type(kind.status, code), "param": None, "code": code}
        problem = {
            "type": f"http://localhost:8000/docs/errors#{code}",
            "title": kind.title,
            "status": kind.status,
            "detail": detail,
            "instance": "/api/v1/chat",
            "code": code,
            "request_id": EXAMPLE_ID,
            "errors": [],
            "error": error,
        }
        found[code] = {"summary": detail, "value": problem}
        found[f"openai.{code}"] = {"summary": detail, "value": {"error": error}}
        value = anthropic_error(kind.status, code, detail, EXAMPLE_ID)
        found[f"anthropic.{code}"] = {"summary": detail, "value": value}
    return found


def problem_schema() -> dict[str, Any]:
    """Return the schema of an error body."""
    text = {"type": "string"}
    entry = {"type": "object", "properties": {"pointer": text, "code": text, "detail": text}}
    properties = {
        **dict.fromkeys(("type", "title", "detail", "instance", "code", "request_id"), text),
        "status": {"type": "integer"},
        "errors": {"type": "array", "items": entry},
        **openai_error_schema()["properties"],
    }
    example = examples()[errors.InternalError.code]["value"]
    return {"type": "object", "required": sorted(properties), "properties": properties, "examples": [example]}


def openai_error_schema() -> dict[str, Any]:
    """Return the schema of an error body below ``/v1``."""
    text = {"type": "string"}
    members = {"message": text, "type": text, "param": {"type": ["string", "null"]}, "code": text}
    error = {"type": "object", "properties": members}
    example = examples()[f"openai.{errors.InternalError.code}"]["value"]
    return {"type": "object", "required": ["error"], "properties": {"error": error}, "examples": [example]}


def anthropic_error_schema() -> dict[str, Any]:
    """Return the schema of an error body below ``/v1/messages``."""
    text = {"type": "string"}
    error = {"type": "object", "properties": dict.fromkeys(("type", "message", "code"), text)}
    properties = {"type": {"const": "error"}, "error": error, "request_id": text}
    example = examples()[f"anthropic.{errors.InternalError.code}"]["value"]
    return {"type": "object", "required": sorted(properties), "properties": properties, "examples": [example]}


def _media_type(shape: ErrorFormat) -> str:
    return PROBLEM if shape == "problem" else OPENAI_ERROR


@cache
def _kinds() -> dict[str, type[ParleyError]]:
    return {kind.code: kind for kind in catalogue()}
