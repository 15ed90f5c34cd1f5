"""Changes of the status of accounts: an invited account that is disabled and enabled again stays invited."""

from auth.accounts.model import Status, User
from parley.storage.postgres import Connection

_NOTE = "INSERT INTO disabled_invitations (user_id) VALUES ($1) ON CONFLICT (user_id) DO NOTHING"
# Each password that an owner chooses leaves a row in password_times: a link also works while the account is disabled.
_IS_OPEN = """
SELECT EXISTS (SELECT FROM disabled_invitations WHERE user_id = $1)
   AND NOT EXISTS (SELECT FROM password_times WHERE user_id = $1)"""


async def next_status(connection: Connection, before: User, wanted: Status | None) -> Status:
    """Return the status that a locked account gets: an account without a password is ``invited``, never ``active``."""
    if wanted == "disabled" and before.status == "invited":
        await connection.execute(_NOTE, before.id)
    if wanted != "active" or before.active:
        return wanted or before.status
    invited = before.status == "invited" or await connection.fetchval(_IS_OPEN, before.id)
    return "invited" if invited else "active"
