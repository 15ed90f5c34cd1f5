"""Operating system account for PostgreSQL, which refuses to run as root."""

import os
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.tool import run_tool

UNPRIVILEGED_UID = 65534
PROBE_TIMEOUT = 10.0
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True)
class ServerAccount:
    """Command prefix that changes the user, and the user ID that must own the files (None: the current user)."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def take_ownership(self, *paths: Path) -> None:
        """Change the owner of the paths to the account."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, self.uid, self.uid)


async def choose_account(cluster: Path, program: Path) -> ServerAccount:
    """Return the account that runs PostgreSQL on this cluster; raise EmbeddedError when no account can.

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
        return ServerAccount()
    if owner in {None, 0}:
        in_namespace = await _succeeds(*NAMESPACE, str(program), "--version")
        return ServerAccount(NAMESPACE) if in_namespace else await account_of_user(cluster, program)
    try:
        return await account_of_user(cluster, program, owner or UNPRIVILEGED_UID)
    except EmbeddedError as error:
        raise EmbeddedError(
            f"{cluster} belongs to user ID {owner}, which cannot enter {cluster.parent.parent} or run {program}. "
            f"Change its owner: chown -R 0 {cluster}"
        ) from error


async def account_of_user(cluster: Path, program: Path, uid: int = UNPRIVILEGED_UID) -> ServerAccount:
    """Return the account of another user; raise EmbeddedError when that user cannot run PostgreSQL on the cluster."""
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig=INT")
    home = cluster.parent.parent
    if await _succeeds(*prefix, str(program), "--version") and await _succeeds(*prefix, "test", "-x", str(home)):
        return ServerAccount(prefix, uid)
    raise EmbeddedError(
        f"PostgreSQL does not run as root, user namespaces are forbidden, and user ID {uid} cannot enter {home} or "
        f"run {program}. Run this as an ordinary user, or set DATABASE_URL."
    )


def _owner(path: Path) -> int | None:
    return path.stat().st_uid if path.exists() else None


async def _succeeds(*arguments: str) -> bool:
    status, _ = await run_tool(*arguments, seconds=PROBE_TIMEOUT)
    return status == 0
