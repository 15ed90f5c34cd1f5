"""The error of a backup or a restore, and the text that the terminal shows for the failure of a database."""

import asyncio


class BackupError(Exception):
    """A backup or a restore is refused or failed; one line for a person."""


def reason_of(error: BaseException) -> str:
    """Return a sentence without its full stop; it quotes no rows."""
    import asyncpg

    if isinstance(error, BackupError):
        return str(error).removesuffix(".")
    if isinstance(error, (asyncpg.PostgresError, asyncpg.InterfaceError)):
        # Only the first line: the others quote rows.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return f"PostgreSQL reports: {reason.removesuffix('.')}"
    if isinstance(error, OSError):
        return f"A database cannot be reached: {error.strerror or type(error).__name__}"
    if isinstance(error, asyncio.CancelledError):
        return "It was interrupted"
    return f"{type(error).__name__}: {error}".removesuffix(".")
