"""Guard that keeps at least one active administrator."""

from auth.accounts.model import User
from auth.errors import LastAdmin
from auth.security.scopes import ADMIN_SCOPE
from parley.storage.postgres import Connection

_LOCK_KEY = 0x61646D696E
"""Advisory lock that serialises changes to administrators ("admin" in ASCII)."""
_ADMIN_EXISTS = "SELECT EXISTS (SELECT FROM users WHERE status = 'active' AND $1 = ANY (scopes))"


async def keep_an_admin(connection: Connection, before: User) -> None:
    """Raise LastAdmin, which rolls the transaction back, if no active administrator is left after a change.

    ``before`` is the account as it was before the change.
    """
    if not before.active or ADMIN_SCOPE not in before.scopes:
        return
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK_KEY)
    if not await connection.fetchval(_ADMIN_EXISTS, ADMIN_SCOPE):
        raise LastAdmin
