"""OpenAPI descriptions of error responses."""

from typing import Any

from parley.errors import DependencyUnavailable, InsufficientScope, InternalError, ParleyError, Unauthenticated

ResponseDocs = dict[int | str, dict[str, Any]]
PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "errors", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
        "error": {"type": "object"},
    },
}


def problems(*kinds: type[ParleyError]) -> ResponseDocs:
    """Return the documentation of a route's errors, with those that every route can return."""
    found: dict[int | str, list[str]] = {}
    everywhere: tuple[type[ParleyError], ...] = (InternalError, DependencyUnavailable)
    for kind in (*kinds, *everywhere):
        codes = found.setdefault(kind.status, [])
        if kind.code not in codes:
            codes.append(kind.code)
    return {status: _describe(codes) for status, codes in found.items()}


def authenticated_problems(*kinds: type[ParleyError]) -> ResponseDocs:
    """Return ``problems`` with the errors of routes that require an access token."""
    return problems(*kinds, Unauthenticated, InsufficientScope)


def _describe(codes: list[str]) -> dict[str, Any]:
    names = ", ".join(f"`{code}`" for code in codes)
    return {"description": f"Problem: {names}", "content": {"application/problem+json": {"schema": PROBLEM_SCHEMA}}}
