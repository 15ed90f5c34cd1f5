"""Folder of a PostgreSQL cluster: creation, version, and a new password for its superuser."""

import shutil
from pathlib import Path

from parley_embedded.errors import EmbeddedError, remedy_for
from parley_embedded.postgres.account import ServerAccount
from parley_embedded.postgres.programs import HINT, postgres_environment
from parley_embedded.private_files import read_private, sync_folder, write_private
from parley_embedded.process.tool import run_tool
from parley_embedded.secret_files import create_secret, new_secret

MAJOR_VERSION = "18"
SUPERUSER = "parley"
INITDB_TIMEOUT = 120.0
SINGLE_USER_TIMEOUT = 120.0
"""Seconds. A start after a crash replays the write-ahead log first."""
INITDB_OPTIONS = (
    f"--username={SUPERUSER}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
)
# Passwords of tests are random and live for minutes, and each of thousands of connections would repeat the iterations.
NOT_DURABLE_OPTIONS = ("--no-sync", "-c", "scram_iterations=1")
# The statement contains a password, so that no error may quote it.
SINGLE_USER_OPTIONS = ("-c", "exit_on_error=on", "-c", "log_min_error_statement=panic")


class ClusterFiles:
    """The files of one PostgreSQL server, and the file with its superuser's password."""

    def __init__(self, folder: Path, password_file: Path) -> None:
        self.folder, self.password_file = folder, password_file

    @property
    def exists(self) -> bool:
        """Whether the cluster has been created."""
        return self.folder.exists()

    async def create(self, account: ServerAccount, *, durable: bool) -> None:
        """Create the cluster with a new password; raise EmbeddedError when that fails."""
        # The cluster gets its name when it is complete, so that an interrupted initdb is not mistaken for a cluster.
        new = self.folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        create_secret(self.password_file)
        account.take_ownership(self.password_file)
        status, output = await run_tool(
            *(*account.command("initdb"), "-D", str(new), *INITDB_OPTIONS),
            *(f"--pwfile={self.password_file}", *(() if durable else NOT_DURABLE_OPTIONS)),
            seconds=INITDB_TIMEOUT,
            folder=self.folder.parent,
            environment=postgres_environment(),
        )
        if status != 0:
            shutil.rmtree(new, ignore_errors=True)
            errors = [line for line in output.splitlines() if "FATAL" in line or "error" in line] or output.splitlines()
            raise EmbeddedError(f"initdb failed: {' | '.join(errors[-2:])}. {remedy_for(output, HINT)}")
        new.rename(self.folder)
        sync_folder(self.folder.parent)

    def check_version(self) -> None:
        """Raise EmbeddedError when the folder is no cluster of this version."""
        version = (read_private(self.folder / "PG_VERSION") or "").strip()
        if not version.isdecimal():
            raise EmbeddedError(
                f"{self.folder} is not a PostgreSQL cluster: its file PG_VERSION is missing or damaged. {self.way_on}"
            )
        if version != MAJOR_VERSION:
            raise EmbeddedError(
                f"PostgreSQL {version} created {self.folder}; this is version {MAJOR_VERSION}. "
                f"Dump it with version {version} and restore the dump, or remove it."
            )

    @property
    def way_on(self) -> str:
        """What to do when the files are damaged."""
        return f"Restore {self.folder.parent} from a backup, or move it away to start with empty databases. {HINT}"

    async def reset_password(self, account: ServerAccount) -> None:
        """Set a new password for the superuser, and write it to the file; raise EmbeddedError when that fails.

        The server must not run. PostgreSQL's single-user mode asks for no password.
        """
        password = new_secret()
        status, output = await run_tool(
            *(*account.command("postgres"), "--single", "-D", str(self.folder)),
            *(*SINGLE_USER_OPTIONS, "postgres"),
            seconds=SINGLE_USER_TIMEOUT,
            folder=self.folder.parent,
            environment=postgres_environment(),
            stdin=f"ALTER ROLE {SUPERUSER} WITH LOGIN PASSWORD '{password}';\n",
        )
        if status != 0:
            reason = " | ".join(output.splitlines()[-2:]).replace(password, "***")
            raise EmbeddedError(
                f"The superuser's password in {self.password_file} is lost, and PostgreSQL did not accept a new one: "
                f"{reason}. {remedy_for(output, self.way_on)}"
            )
        write_private(self.password_file, password)
