"""Queue of password reset requests, mailed in the background.

The response does not depend on whether an account exists, neither in content nor in time.
"""

import asyncio
from dataclasses import dataclass

import structlog

from auth.audit.model import RequestOrigin
from auth.mail.mailer import MailDeliveryError, Mailer
from auth.password_resets.service import RESET_TOKEN_LIFETIME
from auth.password_resets.store import PasswordResetStore
from auth.security import identifiers, secret_tokens
from parley.errors import DependencyUnavailable, Overloaded

log = structlog.get_logger()

MAIL_INTERVAL = 60
"""Minimum seconds between two mails to one account."""
QUEUE_CAPACITY = 1000
RETRY_AFTER = 5
MAIL_SUBJECT = "A new password"
MAIL_TEXT = """A new password was requested for your account {username}.

Choose it here, within {minutes} minutes:

{link}

If you did not request it, ignore this mail. Your password is unchanged.
"""


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """An accepted request for a password reset mail."""

    email: str
    origin: RequestOrigin


class ResetRequestQueue:
    """Accepts requests at once and mails reset links in the background; ``url`` is the page that gets the token."""

    def __init__(self, resets: PasswordResetStore, mailer: Mailer, *, url: str, capacity: int = QUEUE_CAPACITY) -> None:
        self._resets, self._mailer, self._url = resets, mailer, url
        self._queue: asyncio.Queue[ResetRequest] = asyncio.Queue(capacity)

    def add(self, email: str, origin: RequestOrigin) -> None:
        """Queue a request; raises Overloaded if the queue is full."""
        try:
            self._queue.put_nowait(ResetRequest(email, origin))
        except asyncio.QueueFull:
            raise Overloaded(
                "Too many password reset requests are waiting. Retry later.", retry_after=RETRY_AFTER
            ) from None

    async def deliver(self) -> None:
        """Mail the queued requests one after the other, forever."""
        while True:
            request = await self._queue.get()
            try:
                await self._mail_link(request)
            except (MailDeliveryError, DependencyUnavailable) as error:
                reason = str(error) if isinstance(error, MailDeliveryError) else type(error).__name__
                log.warning("password_reset_mail_failed", reason=reason, requested_by=request.origin.request_id)

    async def _mail_link(self, request: ResetRequest) -> None:
        token = secret_tokens.new_reset_token()
        user = await self._resets.request(
            identifiers.key(request.email),
            secret_tokens.digest(token),
            lifetime=RESET_TOKEN_LIFETIME,
            interval=MAIL_INTERVAL,
            origin=request.origin,
        )
        if user is None or user.email is None:
            return
        link = f"{self._url}#token={token}"
        # Sent to the stored address: the requested one may only look like it.
        text = MAIL_TEXT.format(username=user.username, minutes=RESET_TOKEN_LIFETIME // 60, link=link)
        await self._mailer.send(user.email, MAIL_SUBJECT, text)
