"""Throw-away PostgreSQL, Redis and RabbitMQ servers of one test session."""

import asyncio
import atexit
import os
import re
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Self

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.binaries.tools_folder import tools_folder
from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.databases import Databases
from parley_embedded.postgres.server import EmbeddedPostgres
from parley_embedded.rabbitmq.install import ensure_rabbitmq
from parley_embedded.rabbitmq.server import USER, EmbeddedRabbitMQ
from parley_embedded.valkey.server import EmbeddedValkey
from parley_testing.backends.memory_folder import make_data_folder

TEST_ROLE = "tester"
MAX_CONNECTIONS = 200

Migrate = Callable[[str], Awaitable[None]]


class UnavailableError(Exception):
    """A backend cannot run on this machine; the message says why in one line."""


class SharedBackends:
    """PostgreSQL, Redis and RabbitMQ for tests, each started on first use, in one temporary folder.

    `DATABASE_URL`, `REDIS_URL` and `AMQP_URL` in the environment name servers to use instead. `postgres` is the DSN and
    the owner's password of a server that another process started with `start_postgres`. A server that cannot start
    raises UnavailableError at each call and is listed in `unavailable`, name to reason.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        tools: Path | None = None,
        postgres: tuple[str, str] | None = None,
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._tools = tools
        self._handed_down = postgres
        self._folder: Path | None = None
        self._servers: dict[str, EmbeddedServer] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._templates: dict[str, str] = {}
        self._owner_password = postgres[1] if postgres else secrets.token_urlsafe(16)
        self._made: set[str] = set()
        self.unavailable: dict[str, str] = {}

    @property
    def folder(self) -> Path:
        """The temporary folder of this session, in memory where there is room."""
        if self._folder is None:
            self._folder = make_data_folder()
            atexit.register(self.abandon)
        return self._folder

    @property
    def tools(self) -> Path:
        """The folder of downloaded programs, kept between sessions."""
        if self._tools is None:
            self._tools = tools_folder(Path.cwd(), self._environment)
        return self._tools

    async def database_url(self) -> str:
        """Return the administrator's DSN of a PostgreSQL server."""
        if given := self._environment.get("DATABASE_URL"):
            return given
        if self._handed_down:
            return self._handed_down[0]
        return (await self._server("postgres", self._make_postgres)).url

    async def superuser_url(self, dsn: str) -> str:
        """Return the administrator's DSN of a database that `fresh_database` made."""
        return re.sub(r"/\w+(\?|$)", rf"/{_name(dsn)}\1", await self.database_url())

    async def start_postgres(self) -> tuple[str, str] | None:
        """Start PostgreSQL for other processes, and return their argument `postgres`.

        Returns None if the environment names a server.
        """
        if "DATABASE_URL" in self._environment:
            return None
        return await self.database_url(), self._owner_password

    async def redis_url(self) -> str:
        """Return the address of a Redis (or Valkey) server."""
        return self._environment.get("REDIS_URL") or (await self._server("redis", self._make_valkey)).url

    async def amqp_url(self) -> str:
        """Return the address of a RabbitMQ server that no test breaks."""
        return self._environment.get("AMQP_URL") or (await self._server("rabbitmq", self._make_rabbitmq)).url

    async def rabbitmq_root(self) -> Path:
        """Return the folder of the unpacked RabbitMQ, to start more nodes from."""
        try:
            return await ensure_rabbitmq(self.tools)
        except EmbeddedError as error:
            raise UnavailableError(str(error)) from error

    async def fresh_amqp_url(self) -> str:
        """Return the address of a new virtual host on the private node, or of the server that was given.

        It lives until a test wipes the node.
        """
        given = self._environment.get("AMQP_URL")
        if given:
            return given
        node, name = await self.private_rabbitmq(), f"test_{secrets.token_hex(6)}"
        await node.ctl("add_vhost", name)
        await node.ctl("set_permissions", "-p", name, USER, ".*", ".*", ".*")
        return node.url + name

    async def private_rabbitmq(self) -> EmbeddedRabbitMQ:
        """Return a node that a test may kill, freeze, fill and wipe, and must leave running."""
        node = await self._server("private-rabbitmq", self._make_private_rabbitmq)
        assert isinstance(node, EmbeddedRabbitMQ)
        return node

    async def fresh_database(self, migrate: Migrate, key: str) -> str:
        """Return the DSN of a new database, copied from the template that `migrate` fills once per `key`.

        `migrate` gets the template's DSN and must close its connections.
        """
        template = await self._template(migrate, key)
        name = f"test_{secrets.token_hex(6)}"
        return await self._new_database(name, template=template)

    async def drop(self, dsn: str) -> None:
        """Remove a database that `fresh_database` made."""
        name = _name(dsn)
        await Databases(await self.database_url()).drop_database(name)
        self._made.discard(name)

    async def _template(self, migrate: Migrate, key: str) -> str:
        async with self._lock(f"template {key}"):
            if key not in self._templates:
                name = f"template_{re.sub('[^a-z0-9]', '_', key.lower())[:24]}_{secrets.token_hex(6)}"
                await migrate(await self._new_database(name))
                self._templates[key] = name
            return self._templates[key]

    async def _new_database(self, name: str, template: str | None = None) -> str:
        databases = Databases(await self.database_url())
        # On our own server databases belong to a role as weak as a service's, so that tests notice a missing privilege.
        owner = TEST_ROLE if self._handed_down or "postgres" in self._servers else None
        await databases.create_database(name, template=template, owner=owner)
        self._made.add(name)
        return databases.url(name, owner, self._owner_password) if owner else databases.url(name)

    async def _make_postgres(self) -> EmbeddedServer:
        server = EmbeddedPostgres(self.folder / "postgres", durable=False, max_connections=MAX_CONNECTIONS)
        await server.start()
        await server.databases.create_role(TEST_ROLE, self._owner_password)
        return server

    async def _make_valkey(self) -> EmbeddedServer:
        server = EmbeddedValkey(self.folder / "valkey", durable=False)
        await server.start()
        return server

    async def _make_rabbitmq(self) -> EmbeddedServer:
        return await self._start_rabbitmq("rabbitmq")

    async def _make_private_rabbitmq(self) -> EmbeddedServer:
        return await self._start_rabbitmq("private-rabbitmq")

    async def _start_rabbitmq(self, name: str) -> EmbeddedServer:
        server = EmbeddedRabbitMQ(await ensure_rabbitmq(self.tools), self.folder / name)
        await server.start()
        return server

    async def _server(self, name: str, make: Callable[[], Awaitable[EmbeddedServer]]) -> EmbeddedServer:
        async with self._lock(name):
            if name in self.unavailable:
                raise UnavailableError(self.unavailable[name])
            if name not in self._servers:
                try:
                    self._servers[name] = await make()
                except EmbeddedError as error:
                    self.unavailable[name] = str(error)
                    raise UnavailableError(str(error)) from error
            return self._servers[name]

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def stop(self) -> None:
        """Drop the databases made on another's server, stop our own servers, delete the folder."""
        try:
            if self._made and not self._handed_down and "postgres" not in self._servers:
                databases = Databases(await self.database_url())
                for name in sorted(self._made):
                    await databases.drop_database(name)
            for server in reversed(self._servers.values()):
                await server.stop()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Kill the servers and delete the folder without an event loop, at the end of an interrupted session."""
        for server in self._servers.values():
            server.abandon()
        self._servers.clear()
        self._made.clear()
        self._templates.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            atexit.unregister(self.abandon)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def _name(dsn: str) -> str:
    return dsn.partition("?")[0].rpartition("/")[2]
