"""The parameter and the responses of routes that are read conditionally; `etags` decides what is current."""

from typing import Annotated, Any

from fastapi import Header, Response

IfNoneMatch = Annotated[
    str | None,
    Header(
        alias="If-None-Match",
        description="The ETag of what you have. If it is current, the response is 304 without a body.",
        examples=['"3"'],
    ),
]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "`If-None-Match` names the current ETag."}}


def not_modified(etag: str, cache_control: str | None = None) -> Response:
    """Return the response to a client that has the current version, with the ``Cache-Control`` of a whole response."""
    caching = {} if cache_control is None else {"Cache-Control": cache_control}
    return Response(status_code=304, headers={"ETag": etag, **caching})
