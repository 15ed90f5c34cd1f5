"""Roles and databases of a PostgreSQL server, ours or another's."""

import re
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from parley_embedded.errors import EmbeddedError

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
SECONDS = 30.0


class Databases:
    """Manage a server's databases as the administrator whose DSN is given."""

    def __init__(self, admin_dsn: str) -> None:
        self._dsn = admin_dsn

    def url(self, database: str, user: str | None = None, password: str | None = None) -> str:
        """Return the DSN of a database, for the administrator unless another user is named."""
        parts = urlsplit(self._dsn)
        credentials, _, address = parts.netloc.rpartition("@")
        if user is not None:
            credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        return urlunsplit(parts._replace(netloc=f"{credentials}@{address}", path=f"/{database}"))

    async def create_role(self, name: str, password: str) -> None:
        """Make sure that the role exists, may log in with this password and has no other privilege."""
        connection = await self._connect()
        try:
            exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
            verb = "ALTER" if exists else "CREATE"
            await connection.execute(
                f"{verb} ROLE {checked(name)} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {literal}"
            )
        finally:
            await connection.close(timeout=SECONDS)

    async def create_role_and_database(self, name: str, password: str) -> None:
        """Make sure that a role and a database of this name exist, the database open to that role alone."""
        await self.create_role(name, password)
        if not await self.exists(name):
            await self.create_database(name, owner=name)
        await self.close_to_public(name)

    async def exists(self, database: str) -> bool:
        """Tell whether the database exists."""
        connection = await self._connect()
        try:
            return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database))
        finally:
            await connection.close(timeout=SECONDS)

    async def close_to_public(self, *databases: str) -> None:
        """Let only owners and superusers connect to the databases."""
        await self._execute(*(f"REVOKE ALL ON DATABASE {checked(name)} FROM PUBLIC" for name in databases))

    async def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> None:
        """Make a database, as a copy of `template` when given (nobody may be connected to that)."""
        options = [f"TEMPLATE {checked(template)}"] if template else []
        options += [f"OWNER {checked(owner)}"] if owner else []
        await self._execute(" ".join([f"CREATE DATABASE {checked(name)}", *options]))

    async def drop_database(self, name: str) -> None:
        """Remove a database and whoever is connected to it; harmless when it does not exist."""
        await self._execute(f"DROP DATABASE IF EXISTS {checked(name)} WITH (FORCE)")

    async def ping(self) -> bool:
        """Tell whether the server lets the administrator in."""
        try:
            connection = await self._connect()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        await connection.close(timeout=SECONDS)
        return True

    async def _execute(self, *statements: str) -> None:
        connection = await self._connect()
        try:
            for statement in statements:
                await connection.execute(statement, timeout=SECONDS)
        finally:
            await connection.close(timeout=SECONDS)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._dsn, timeout=SECONDS, command_timeout=SECONDS)


def checked(name: str) -> str:
    """Return the name as a quoted identifier; EmbeddedError when it is not a plain lower-case name."""
    if not NAME.fullmatch(name):
        raise EmbeddedError(f"{name!r} is not a plain lower-case database name.")
    return f'"{name}"'
