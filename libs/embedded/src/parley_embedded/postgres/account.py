"""Operating system account for PostgreSQL, which refuses to run as root."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.postgres.programs import copy_programs
from parley_embedded.process.tool import run_tool

UNPRIVILEGED_UID = 65534
PROBE_TIMEOUT = 10.0
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
GROUP_MAY_ENTER = 0o710


@dataclass(frozen=True)
class ServerAccount:
    """Folder of the programs, command prefix that changes the user, and the user ID that must own the files.

    Without a user ID, the files belong to the current user.
    """

    programs: Path
    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def command(self, program: str) -> tuple[str, ...]:
        """Return the start of the command that runs a program, such as `initdb`, as this account."""
        return (*self.prefix, str(self.programs / program))

    def take_ownership(self, *paths: Path) -> None:
        """Change the owner of the paths to the account."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, self.uid, self.uid)


async def choose_account(cluster: Path, programs: Path) -> ServerAccount:
    """Return the account that runs the programs on this cluster; raise EmbeddedError when no account can.

    An ordinary user runs PostgreSQL without a prefix. Root uses a user namespace in which root's files belong to an
    ordinary user. Where namespaces are forbidden, or the cluster belongs to another user, root becomes that user.
    """
    owner = _owner(cluster)
    me = os.geteuid()
    if me != 0:
        if owner not in {None, me}:
            raise EmbeddedError(
                f"{cluster} belongs to user ID {owner}; the current user ID is {me}. Change its owner or remove it."
            )
        return ServerAccount(programs)
    if not owner:  # no cluster yet, or root's
        in_namespace = await _succeeds(*NAMESPACE, str(programs / "postgres"), "--version")
        return ServerAccount(programs, NAMESPACE) if in_namespace else await account_of_user(cluster, programs)
    try:
        return await account_of_user(cluster, programs, owner)
    except EmbeddedError as error:
        raise EmbeddedError(
            f"{cluster} belongs to user ID {owner}, which cannot enter {cluster.parent.parent}. "
            f"Change its owner: chown -R 0 {cluster}"
        ) from error


async def account_of_user(cluster: Path, programs: Path, uid: int = UNPRIVILEGED_UID) -> ServerAccount:
    """Return the account of another user; raise EmbeddedError when that user cannot enter the cluster's folders.

    The user's group gets access to the data folder, and programs that the user cannot read are copied there.
    """
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig=INT")
    # setpriv runs a program in a folder that only root may enter, but the program can open nothing there.
    can_enter = (*prefix, "test", "-x")
    data = cluster.parent
    home = data.parent
    if not await _succeeds(*can_enter, str(home)):
        _admit_group(home, uid)
    if not await _succeeds(*can_enter, str(home)):
        raise EmbeddedError(
            f"PostgreSQL does not run as root, user namespaces are forbidden, and user ID {uid} cannot enter {home}. "
            "Set PARLEY_DATA_DIR to a folder in one that every user may enter, such as /var/lib, run this as an "
            "ordinary user, or set DATABASE_URL."
        )
    if not await _succeeds(*can_enter, str(programs / "postgres")):
        programs = await asyncio.to_thread(copy_programs, programs, data / "programs")
    return ServerAccount(programs, prefix, uid)


def _admit_group(folder: Path, gid: int) -> None:
    """Let a group enter a private folder of root, but not list it. The files inside stay closed."""
    if os.geteuid() == folder.stat().st_uid == 0:
        os.chown(folder, -1, gid)
        folder.chmod(GROUP_MAY_ENTER)


def _owner(path: Path) -> int | None:
    return path.stat().st_uid if path.exists() else None


async def _succeeds(*arguments: str) -> bool:
    status, _ = await run_tool(*arguments, seconds=PROBE_TIMEOUT)
    return status == 0
