"""SQL statements with named parameters, for statements with too many to count."""

import re
from collections.abc import Mapping
from typing import Any

_PARAMETER = re.compile(r"(?<!:):([a-z_]+)")
"""``:name``, but not the cast ``::type``."""


class NamedStatement:
    """A statement written with ``:name`` parameters, as asyncpg's ``$1``, ``$2``, … in order of first use."""

    def __init__(self, text: str) -> None:
        self.names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        self.sql = _PARAMETER.sub(lambda match: f"${self.names.index(match[1]) + 1}", text)

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """Return the positional arguments; names that the statement does not use are ignored; raises KeyError."""
        return tuple(values[name] for name in self.names)
