"""As whom PostgreSQL runs: it refuses to be root."""

import os
from dataclasses import dataclass
from pathlib import Path

from parley_embedded.errors import EmbeddedError
from parley_embedded.process.tool import run_tool

UNPRIVILEGED = 65534
PROBE_SECONDS = 10.0
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True)
class Account:
    """The prefix that changes the user, and the user id that must own the files (None: ours)."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def own(self, *paths: Path) -> None:
        """Give the paths to the account."""
        if self.uid is not None:
            for path in paths:
                os.chown(path, self.uid, self.uid)


async def postgres_account(cluster: Path, program: Path) -> Account:
    """Choose how to run PostgreSQL on this cluster; EmbeddedError when there is no way.

    An ordinary user runs it plainly. Root gets a user namespace, in which root's files belong to an ordinary user;
    where namespaces are forbidden, or the cluster belongs to somebody else, root becomes that user.
    """
    owner = _owner(cluster)
    me = os.geteuid()
    if me != 0:
        if owner not in {None, me}:
            raise EmbeddedError(f"{cluster} belongs to uid {owner}, not to you (uid {me}): chown -R it, or remove it.")
        return Account()
    if owner in {None, 0} and await _runs(*NAMESPACE, str(program), "--version"):
        return Account(NAMESPACE)
    return await other_user(cluster, program, owner or UNPRIVILEGED)


async def other_user(cluster: Path, program: Path, uid: int = UNPRIVILEGED) -> Account:
    """Return the account that becomes another user, once it is known that this user can run PostgreSQL there."""
    prefix = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--pdeathsig=INT")
    home = cluster.parent.parent
    if await _runs(*prefix, str(program), "--version") and await _runs(*prefix, "test", "-x", str(home)):
        return Account(prefix, uid)
    raise EmbeddedError(
        f"PostgreSQL does not run as root, user namespaces are forbidden here, and uid {uid} cannot enter {home} or "
        f"run {program}: run this as an ordinary user, or set DATABASE_URL."
    )


def _owner(path: Path) -> int | None:
    return path.stat().st_uid if path.exists() else None


async def _runs(*arguments: str) -> bool:
    status, _ = await run_tool(*arguments, seconds=PROBE_SECONDS)
    return status == 0
