"""Progress of a restore: which databases are committed when it fails."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import asyncpg

from parley_cli.backup.errors import BackupError, reason_of


@dataclass(slots=True)
class RestoreProgress:
    """The databases of a restore, and which of them are committed."""

    services: Sequence[str]
    dropped: list[str] = field(default_factory=list)
    """The databases whose tables were dropped, to make those of the archive."""
    committing: bool = False
    """Whether the first commit has begun. The result of a commit that fails with its connection is unknown."""
    restored: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def explain(self) -> Iterator[None]:
        """Add to a failure what is restored, and how to go on.

        Once commits have begun, an interruption counts as a failure.
        """
        try:
            yield
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise BackupError(f"{reason_of(error)}. {self._state()}") from error
        except (Exception, asyncio.CancelledError) as error:
            if not self.committing:
                raise
            raise BackupError(f"{reason_of(error)}. {self._state()}") from error

    def _state(self) -> str:
        if not self.committing:
            if not self.dropped:
                return "No database was restored."
            return (
                f"No database was restored, and the tables of {', '.join(self.dropped)} were dropped. "
                "Run the same command again with --replace, or restore another archive."
            )
        left = [name for name in self.services if name not in self.restored]
        unfinished = f" Unfinished: {', '.join(left)}." if left else ""
        return (
            f"The restore is incomplete. Restored: {', '.join(self.restored) or 'none'}.{unfinished} "
            "Run the same command again with --replace: it restores all of them."
        )
