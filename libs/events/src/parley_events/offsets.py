"""Positions in the event log: where a replay starts and ends, how far it is, and where it continues."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

Start: TypeAlias = datetime | int | Literal["first", "next"]
"""Where a replay starts: a time of publication, an offset, the first event of the log, or the next to be published."""
End: TypeAlias = datetime | int | Literal["now", "never"]
"""Where a replay ends: before a time of publication, before an offset, at the end that the log has now, or never."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is: the next offset, the offset at which it ends if that is known, and the events handled."""

    offset: int
    end: int | None
    handled: int


OnProgress: TypeAlias = Callable[[Progress], Awaitable[None] | None]


class OffsetStore(Protocol):
    """Keeps the offset at which a replay continues after a crash."""

    async def load_offset(self, name: str) -> int | None:
        """Return the offset saved under a name, or None."""
        ...

    async def save_offset(self, name: str, offset: int) -> None:
        """Save an offset."""
        ...


class FileOffsets:
    """Offsets in files of a folder."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    async def load_offset(self, name: str) -> int | None:
        """Return the offset saved under a name, or None."""
        path = self._folder / f"{name}.offset"
        return int(await asyncio.to_thread(path.read_text)) if path.exists() else None

    async def save_offset(self, name: str, offset: int) -> None:
        """Save an offset; a crash leaves the old one or the new one."""
        await asyncio.to_thread(self._write, name, offset)

    def _write(self, name: str, offset: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{name}.offset"
        new = path.with_suffix(".new")
        new.write_text(str(offset))
        new.replace(path)


def check_time(name: str, value: object) -> None:
    """Raise ValueError for a time without a time zone."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(
            f"`{name}` is {value.isoformat()}, a time without a time zone. Add one: datetime(…, tzinfo=UTC)."
        )
