"""Query parameters of lists in OpenAI's form."""

from typing import Annotated, Literal

from fastapi import Query

MAX_LIMIT, DEFAULT_LIMIT = 100, 20
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]
Order = Literal["asc", "desc"]
