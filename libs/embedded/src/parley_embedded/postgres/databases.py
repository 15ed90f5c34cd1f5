"""Roles and databases of a PostgreSQL server."""

import re
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from parley_embedded.errors import EmbeddedError

PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
TIMEOUT = 30.0


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
        connection = await self._connect()
        try:
            exists = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            literal = await connection.fetchval("SELECT quote_literal($1::text)", password)
            verb = "ALTER" if exists else "CREATE"
            await connection.execute(
                f"{verb} ROLE {quoted(name)} WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {literal}"
            )
        finally:
            await connection.close(timeout=TIMEOUT)

    async def create_role_and_database(self, name: str, password: str) -> None:
        """Create a role and a database with this name. Only the role can connect to the database."""
        await self.create_role(name, password)
        if not await self.exists(name):
            await self.create_database(name, owner=name)
        await self.revoke_public_access(name)

    async def exists(self, database: str) -> bool:
        """Return whether the database exists."""
        connection = await self._connect()
        try:
            return bool(await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database))
        finally:
            await connection.close(timeout=TIMEOUT)

    async def revoke_public_access(self, *databases: str) -> None:
        """Allow only owners and superusers to connect to the databases."""
        await self._execute(*(f"REVOKE ALL ON DATABASE {quoted(name)} FROM PUBLIC" for name in databases))

    async def create_database(self, name: str, template: str | None = None, owner: str | None = None) -> None:
        """Create a database. `template` names a database to copy, which must have no connections."""
        options = [f"TEMPLATE {quoted(template)}"] if template else []
        options += [f"OWNER {quoted(owner)}"] if owner else []
        await self._execute(" ".join([f"CREATE DATABASE {quoted(name)}", *options]))

    async def drop_database(self, name: str) -> None:
        """Drop a database and its connections. Does nothing when the database does not exist."""
        await self._execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    async def ping(self) -> bool:
        """Return whether the administrator can connect."""
        try:
            connection = await self._connect()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False
        await connection.close(timeout=TIMEOUT)
        return True

    async def _execute(self, *statements: str) -> None:
        connection = await self._connect()
        try:
            for statement in statements:
                await connection.execute(statement, timeout=TIMEOUT)
        finally:
            await connection.close(timeout=TIMEOUT)

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self._dsn, timeout=TIMEOUT, command_timeout=TIMEOUT)


def quoted(name: str) -> str:
    """Return the name as a quoted identifier; raise EmbeddedError when it is not a plain lower-case name."""
    if not PLAIN_NAME.fullmatch(name):
        raise EmbeddedError(f"{name!r} is not a valid name. Use lower-case letters, digits and underscores.")
    return f'"{name}"'
