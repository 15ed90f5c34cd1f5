"""Security notices: mails that tell the owner of an account about new devices, new keys and changed credentials.

The audit log has the same events, whether or not mail is set up.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from uuid import UUID

from cachetools import TTLCache

from auth.audit.model import RequestOrigin
from auth.mail.mail_queue import Mail, MailQueue
from parley import times

NOTICE_WINDOW = 3600.0
"""Seconds in which an account gets at most ``MAX_NOTICES`` notices of one kind from this process."""
MAX_NOTICES = 5
MAX_COUNTED = 50_000
_TEXT = """{what}

Account: {username}
Time: {time} UTC
Network address: {address}

If it was you, there is nothing to do. If not, set a new password at once. This ends every other session, and the
API keys that were made since the password was last set.
"""


class SecurityEvent(Enum):
    """Events that the owner of an account is told of; the value is the subject of the mail."""

    NEW_DEVICE = "A new device has logged in"
    NEW_API_KEY = "A new API key"
    EMAIL_CHANGED = "Your e-mail address was changed"
    PASSWORD_CHANGED = "Your password was changed"  # noqa: S105 - a subject


_SENTENCES = {
    SecurityEvent.NEW_DEVICE: "A device that was not used before has logged in to your account.",
    SecurityEvent.NEW_API_KEY: "An API key was made for your account. It begins with {detail}.",
    SecurityEvent.EMAIL_CHANGED: "This is no longer the e-mail address of your account. Mails go to another one.",
    SecurityEvent.PASSWORD_CHANGED: "The password of your account was changed.",
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """The account that an event concerns, and the address to tell; None for an account without an address."""

    user_id: UUID
    username: str
    address: str | None


class SecurityNotices:
    """Queues notices; without a queue, because mail is not set up, there are none."""

    def __init__(self, queue: MailQueue | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue = queue
        self._sent: TTLCache[tuple[UUID, SecurityEvent], int] = TTLCache(MAX_COUNTED, NOTICE_WINDOW, timer=clock)

    def send(self, event: SecurityEvent, to: Recipient, origin: RequestOrigin, *, detail: str = "") -> None:
        """Mail a notice, unless the account had ``MAX_NOTICES`` of the kind; never raises and never waits."""
        sent = self._sent.get((to.user_id, event), 0)
        if self._queue is None or to.address is None or sent >= MAX_NOTICES:
            return
        self._sent[to.user_id, event] = sent + 1
        # Nothing that a thief can choose freely is in the mail: no user agent and no name of a key.
        text = _TEXT.format(
            what=_SENTENCES[event].format(detail=detail),
            username=to.username,
            time=times.now().strftime("%Y-%m-%d %H:%M"),
            address=origin.address or "unknown",
        )
        self._queue.add(Mail(to.address, event.value, text))
