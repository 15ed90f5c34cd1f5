"""People who ask for a new password themselves: answered at once, and mailed in the background if they exist."""

import asyncio
from dataclasses import dataclass

import structlog

from auth.mail.mailer import Mailer, MailNotSent
from auth.model import Origin
from auth.password_resets.ports import Resets
from auth.password_resets.service import LIFETIME
from auth.security import identifiers
from auth.security import secret_tokens as tokens
from parley.errors import DependencyUnavailable, Overloaded

log = structlog.get_logger()

PAUSE = 60
"""Seconds between two mails to one account."""
CAPACITY = 1000
"""How many requests may wait to be looked at."""
RETRY = 5
SUBJECT = "A new password"
TEXT = """Somebody, probably you, asked for a new password for your account {username}.

Choose it here, within {minutes} minutes:

{link}

If it was not you, ignore this mail: nothing has changed.
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was accepted and not yet looked at."""

    email: str
    origin: Origin


class ResetRequests:
    """Takes requests without looking whom they are for, so that its answers and their times tell nothing."""

    def __init__(self, resets: Resets, mailer: Mailer, *, url: str, capacity: int = CAPACITY) -> None:
        """Take the store, the way out, and the page that the token is given to as a fragment."""
        self._resets, self._mailer, self._url = resets, mailer, url
        self._waiting: asyncio.Queue[Asked] = asyncio.Queue(capacity)

    def take(self, email: str, origin: Origin) -> None:
        """Accept a request; raises Overloaded."""
        try:
            self._waiting.put_nowait(Asked(email, origin))
        except asyncio.QueueFull:
            raise Overloaded("Too many requests for new passwords at once.", retry_after=RETRY) from None

    async def deliver(self) -> None:
        """Look at the requests one after the other, for ever."""
        while True:
            asked = await self._waiting.get()
            try:
                await self._answer(asked)
            except (MailNotSent, DependencyUnavailable) as error:
                reason = str(error) if isinstance(error, MailNotSent) else type(error).__name__
                log.warning("password reset not mailed", reason=reason, asked_by=asked.origin.request_id)

    async def _answer(self, asked: Asked) -> None:
        token = tokens.new_reset_token()
        user = await self._resets.request(
            identifiers.key(asked.email), tokens.digest(token), lifetime=LIFETIME, pause=PAUSE, origin=asked.origin
        )
        if user is None or user.email is None:
            return
        link = f"{self._url}#token={token}"
        # To the address on record: the one that was typed may only look like it.
        text = TEXT.format(username=user.username, minutes=LIFETIME // 60, link=link)
        await self._mailer.send(user.email, SUBJECT, text)
