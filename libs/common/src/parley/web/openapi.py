"""OpenAPI descriptions that routes share: errors, request headers and response headers."""

from typing import Annotated, Any

from fastapi import Header

from parley.errors import ParleyError

EXAMPLE_ID = "01a200aa-0000-7000-8000-000000000002"
ResponseDocs = dict[int | str, dict[str, Any]]

IDEMPOTENCY_KEY_RULE = (
    "1 to 255 visible ASCII characters. A repetition within 24 hours with the same key and body returns the first "
    "response, with `Idempotency-Replayed: true`."
)
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", description=IDEMPOTENCY_KEY_RULE, examples=["order-1017"])
]


def problems(*kinds: type[ParleyError]) -> ResponseDocs:
    """Return the responses of a route's own errors.

    The document of the gateway adds the bodies, and the errors that a route of its kind can return.
    """
    found: dict[int | str, list[str]] = {}
    for kind in kinds:
        codes = found.setdefault(kind.status, [])
        if kind.code not in codes:
            codes.append(kind.code)
    return {
        status: {"description": ", ".join(f"`{code}`" for code in codes), "x-codes": codes}
        for status, codes in found.items()
    }


def header(description: str, example: str) -> dict[str, Any]:
    """Return the description of a response header."""
    return {"description": description, "schema": {"type": "string"}, "example": example}


def header_parameter(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of an optional request header that the route reads itself."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


REPLAYED = {"Idempotency-Replayed": header("Present on a response that repeats the first one of its key.", "true")}
ETAG = {"ETag": header("Version of the resource, for `If-Match`.", '"3"')}


def location(description: str, example: str) -> dict[str, Any]:
    """Return the description of a ``Location`` header."""
    return {"Location": header(description, example)}
