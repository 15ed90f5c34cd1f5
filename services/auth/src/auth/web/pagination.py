"""Query parameters that lists share."""

from typing import Annotated

from fastapi import Query

Limit = Annotated[int, Query(ge=1, le=100, description="Most elements of the page.")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before.")]
DEFAULT_LIMIT = 20
