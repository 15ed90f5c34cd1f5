"""A database that keeps the statements it ran, with their arguments."""

from typing import Any

from history.database import Database, Row
from parley.storage.postgres import Pool


class RecordingDatabase(Database):
    """Keeps each statement that ran outside a transaction."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._kept: list[tuple[str, tuple[Any, ...]]] = []

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        self._keep(query, arguments)
        return await super().fetch(query, *arguments)

    async def row(self, query: str, *arguments: Any) -> Row | None:
        self._keep(query, arguments)
        return await super().row(query, *arguments)

    async def value(self, query: str, *arguments: Any) -> Any:
        self._keep(query, arguments)
        return await super().value(query, *arguments)

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        """Return the statements since the last call."""
        found, self._kept = self._kept, []
        return found

    def _keep(self, query: str, arguments: tuple[Any, ...]) -> None:
        self._kept.append((query, arguments))
