"""There is always an administrator left."""

from auth.errors import LastAdmin
from auth.model import User
from auth.security.scopes import ADMIN
from parley.storage.postgres import Connection

_LOCK_KEY = 0x61646D696E
"""Serialises changes to administrators: two of them must not un-make each other at the same time. "admin" in ASCII."""
_ANY = "SELECT EXISTS (SELECT FROM users WHERE status = 'active' AND $1 = ANY (scopes))"


async def keep_an_admin(connection: Connection, before: User) -> None:
    """Call after changing an account: raises LastAdmin, undoing the transaction, when it was the last active one."""
    if not before.active or ADMIN not in before.scopes:
        return
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
    if not await connection.fetchval(_ANY, ADMIN):
        raise LastAdmin
