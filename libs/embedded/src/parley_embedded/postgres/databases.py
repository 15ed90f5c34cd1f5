"""Roles and databases of a PostgreSQL server."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from parley_embedded.errors import EmbeddedError, explain

PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
TIMEOUT = 30.0
_STARTING = (asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError, asyncpg.TooManyConnectionsError)


class LoginRefusedError(EmbeddedError):
    """The server refused the administrator's name or password."""


class Databases:
    """Roles and databases, managed with an administrator's DSN."""

    def __init__(self, admin_dsn: str) -> None:
        self._dsn = admin_dsn

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return the DSN of a database for a user. Default: the administrator."""
        parts = urlsplit(self._dsn)
        credentials, _, address = parts.netloc.rpartition("@")
        if user is not None:
            credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        return urlunsplit(parts._replace(netloc=f"{credentials}@{address}", path=f"/{database}"))

    async def create_role(self, name: str, password: str) -> None:
        """Create the role or reset it: it can log in with this password and has no other privilege."""
        async with self._connection() as connection:
            exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
            verb = "ALTER" if exists else "CREATE"
            await connection.execute(
                f"{verb} ROLE {quoted(name)} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {literal}"
            )

    async def create_role_and_database(self, name: str, password: str) -> None:
        """Create a role and a database with this name. Only the role can connect to the database."""
        await self.create_role(name, password)
        if not await self.exists(name):
            await self.create_database(name, owner=name)
        await self.revoke_public_access(name)

    async def exists(self, database: str) -> bool:
        """Return whether the database exists."""
        async with self._connection() as connection:
            return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database))

    async def revoke_public_access(self, *databases: str) -> None:
        """Allow only owners and superusers to connect to the databases."""
        await self._execute(*(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC" for name in databases))

    async def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> None:
        """Create a database. `template` names a database to copy, which must have no connections."""
        # Copied as files, a small database costs half as much processor time as through the log, the default.
        options = [f"TEMPLATE {quoted(template)} STRATEGY file_copy"] if template else []
        options += [f"OWNER {quoted(owner)}"] if owner else []
        await self._execute(" ".join([f"CREATE DATABASE {quoted(name)}", *options]))

    async def drop_database(self, name: str) -> None:
        """Drop a database and its connections. Does nothing when the database does not exist."""
        await self._execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    async def ping(self) -> bool:
        """Return whether the administrator can connect; raise EmbeddedError when the server refuses it."""
        try:
            connection = await self._connect()
        except (OSError, *_STARTING):
            return False
        await connection.close(timeout=TIMEOUT)
        return True

    async def _execute(self, *statements: str) -> None:
        async with self._connection() as connection:
            for statement in statements:
                await connection.execute(statement, timeout=TIMEOUT)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Connect, and raise EmbeddedError in place of the errors of the server, the driver and the network."""
        try:
            connection = await self._connect()
            try:
                yield connection
            finally:
                await connection.close(timeout=TIMEOUT)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise EmbeddedError(f"PostgreSQL reports an error: {_first_line(error)}.") from error
        except OSError as error:
            reason = error.strerror or explain(error)
            raise EmbeddedError(f"Cannot reach PostgreSQL: {reason}. Check the server and its URL.") from error

    async def _connect(self) -> asyncpg.Connection:
        try:
            return await asyncpg.connect(self._dsn, timeout=TIMEOUT, command_timeout=TIMEOUT)
        except asyncpg.InvalidAuthorizationSpecificationError as error:
            raise LoginRefusedError(f"PostgreSQL refused the login: {_first_line(error)}.") from error
        except asyncpg.PostgresError as error:
            if isinstance(error, _STARTING):
                raise
            raise EmbeddedError(f"PostgreSQL refused the connection: {_first_line(error)}.") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")


def quoted(name: str) -> str:
    """Return the name as a quoted identifier; raise EmbeddedError when it is not a plain lower-case name."""
    if not PLAIN_NAME.fullmatch(name):
        raise EmbeddedError(f"{name!r} is not a valid name. Use lower-case letters, digits and underscores.")
    return f'"{name}"'
