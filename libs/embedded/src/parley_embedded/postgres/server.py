"""PostgreSQL 18 from a wheel, as a child process."""

import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from parley_embedded.base_server import EmbeddedServer
from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.account import ServerAccount, choose_account
from parley_embedded.postgres.cluster import SUPERUSER, ClusterFiles
from parley_embedded.postgres.databases import Databases, LoginRefusedError
from parley_embedded.postgres.leftovers import LOCK_FILE, PROGRAM, STOP_SEQUENCE, remove_stale_lock, stop_leftovers
from parley_embedded.postgres.programs import postgres_environment, postgres_program
from parley_embedded.process.child import ServerCommand
from parley_embedded.process.pid_file import processes_in
from parley_embedded.secret_files import read_secret
from parley_embedded.sockets import SocketFolder, free_port

SOCKET_PORT = 5432
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
"""Returns the account for a cluster's folder and the folder of the programs."""


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
        self._files = ClusterFiles(self.cluster, self.data_dir / "superuser-password")
        self._socket: SocketFolder | None = None

    @property
    def url(self) -> str:
        """The DSN of the superuser on the database `postgres`; EmbeddedError before the first start."""
        password = read_secret(self._files.password_file)
        if password is None:
            raise EmbeddedError(f"{self._files.password_file} is missing or damaged. The next start repairs it.")
        credentials = f"{SUPERUSER}:{password}"
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
        """Create the cluster before the first start, and repair what an earlier run or an accident left."""
        account = await self._choose_account(self.cluster, postgres_program("postgres").parent)
        account.take_ownership(self.data_dir)
        if not self._files.exists:
            await self._files.create(account, durable=self._durable)
        self._files.check_version()
        await stop_leftovers(self.cluster)
        account.take_ownership(self._socket_folder.open(account.uid))
        for lock in (self.cluster / LOCK_FILE, self._socket_folder.path / f".s.PGSQL.{self.port}.lock"):
            remove_stale_lock(lock, self.cluster)
        if read_secret(self._files.password_file) is None:
            await self._files.reset_password(account)
        return ServerCommand(
            name="PostgreSQL",
            arguments=[*account.command("postgres"), "-D", str(self.cluster), *self._options()],
            folder=self.data_dir,
            environment=postgres_environment(),
            stop_sequence=STOP_SEQUENCE,
            death_signal=signal.SIGINT,
            hint=self._files.way_on,
        )

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
        """Return whether the superuser can connect; raise EmbeddedError when the server refuses it."""
        try:
            return await self.databases.ping()
        except LoginRefusedError as error:
            raise EmbeddedError(
                f"{error} Remove {self._files.password_file}: the next start sets a new password. "
                f"If that does not help: {self._files.way_on}"
            ) from error
        except EmbeddedError as error:
            raise EmbeddedError(f"{error} {self._files.way_on}") from error

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
        for process in processes_in(self.cluster, PROGRAM):
            process.send(number)

    async def stop(self) -> None:
        """Shut the server down cleanly, then stop the processes that a killed postmaster left running."""
        self.resume()
        await super().stop()
        if self._child is not None:
            await stop_leftovers(self.cluster)
        if self._socket is not None:
            self._socket.close()
