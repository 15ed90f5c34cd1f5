"""Classification of Postgres errors: unavailable server, conflict of transactions, or error of the statement."""

import asyncpg

_UNAVAILABLE_CLASSES = frozenset({"08", "28", "53", "55", "57", "58", "F0", "XX"})
"""SQLSTATE classes: connection, authorization, resources, object state, operator, system, configuration, internal."""
_UNAVAILABLE_CODES = frozenset({"25006", "25P03", "25P04", "26000", "3D000", "40003", "42501", "72000"})
"""Read-only, session ended by a timeout, lost prepared statement, no such database, unknown commit, no privilege,
snapshot too old."""
_CONFLICT_CODES = frozenset({"40000", "40001", "40P01"})
"""Rollback, serialization failure, deadlock."""
_USABLE_CLASSES = frozenset({"53", "55"})
_USABLE_CODES = frozenset({"57014", "72000"})
"""Errors after which the connection and its server can serve the next statement."""
_CLIENT_ERRORS = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""Exceptions of asyncpg itself when it has no connection, or loses it."""
_CALLER_ERRORS = (asyncpg.DataError, asyncpg.exceptions.ClientConfigurationError)
"""Subclasses of InterfaceError that say that the caller passed a wrong value."""


def is_unavailable(error: BaseException) -> bool:
    """Return whether the database cannot serve: unreachable, starting, stopping, read-only, full, or too slow.

    The error says nothing about the statement. The same statement succeeds when the database is available again.
    """
    if isinstance(error, asyncpg.PostgresError):
        code = _sqlstate(error)
        return code[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_CODES
    return isinstance(error, _CLIENT_ERRORS) and not isinstance(error, _CALLER_ERRORS)


def is_conflict(error: BaseException) -> bool:
    """Return whether the transaction was rolled back because of a concurrent one, and can be tried again at once."""
    if isinstance(error, asyncpg.exceptions.InvalidCachedStatementError):
        return True  # a migration has changed a table that the open transaction reads
    return isinstance(error, asyncpg.PostgresError) and _sqlstate(error) in _CONFLICT_CODES


def is_transient(error: BaseException) -> bool:
    """Return whether the statement can succeed unchanged later."""
    return is_unavailable(error) or is_conflict(error)


def is_stale(error: BaseException) -> bool:
    """Return whether every open connection may lead to a server that cannot serve, as after a failover."""
    if not isinstance(error, asyncpg.PostgresError) or not is_unavailable(error):
        return False
    code = _sqlstate(error)
    return code not in _USABLE_CODES and code[:2] not in _USABLE_CLASSES


def _sqlstate(error: asyncpg.PostgresError) -> str:
    return getattr(error, "sqlstate", None) or ""
