"""How the API document describes errors."""

from typing import Any

from parley.errors import DependencyUnavailable, InsufficientScope, InternalError, ParleyError, Unauthenticated

Documented = dict[int | str, dict[str, Any]]
PROBLEM: dict[str, Any] = {
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


def problems(*kinds: type[ParleyError]) -> Documented:
    """Return the description of the errors a route answers with, besides those that any may."""
    found: dict[int | str, list[str]] = {}
    everywhere: tuple[type[ParleyError], ...] = (InternalError, DependencyUnavailable)
    for kind in (*kinds, *everywhere):
        codes = found.setdefault(kind.status, [])
        if kind.code not in codes:
            codes.append(kind.code)
    return {status: _described(codes) for status, codes in found.items()}


def personal(*kinds: type[ParleyError]) -> Documented:
    """As ``problems``, for routes that need an access token."""
    return problems(*kinds, Unauthenticated, InsufficientScope)


def _described(codes: list[str]) -> dict[str, Any]:
    names = ", ".join(f"`{code}`" for code in codes)
    return {"description": f"Problem: {names}", "content": {"application/problem+json": {"schema": PROBLEM}}}
