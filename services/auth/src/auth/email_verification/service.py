"""E-mail verification service: mailing links and using their tokens."""

from uuid import UUID

import structlog

from auth.audit.model import RequestOrigin
from auth.email_verification.store import EmailVerificationStore
from auth.mail.mail_queue import Mail, MailQueue
from auth.security import secret_tokens
from parley.errors import DependencyUnavailable, ValidationFailed
from parley.field_errors import FieldError

log = structlog.get_logger()

TOKEN_LIFETIME = 86_400
"""Seconds."""
MAIL_INTERVAL = 60
"""Minimum seconds between two mails for one account."""
MAIL_SUBJECT = "Confirm your e-mail address"
MAIL_TEXT = """Confirm that this is the address of your account {username}, within {hours} hours:

{link}

Mails to choose a new password go to confirmed addresses only. If you have no such account, ignore this mail.
"""


class EmailVerificationService:
    """Verifies that the owner of an account receives mail at its address; ``url`` is the page that gets the token."""

    def __init__(self, store: EmailVerificationStore, queue: MailQueue | None, *, url: str) -> None:
        self._store, self._queue, self._url = store, queue, url

    async def send_link(self, user_id: UUID, origin: RequestOrigin) -> None:
        """Mail a link to an address that is not verified; at most one in ``MAIL_INTERVAL``, none without mail."""
        if self._queue is None:
            return
        token = secret_tokens.new_verification_token()
        found = await self._store.issue(
            user_id,
            secret_tokens.digest(token),
            lifetime=TOKEN_LIFETIME,
            interval=MAIL_INTERVAL,
            origin=origin,
        )
        if found is not None:
            text = MAIL_TEXT.format(
                username=found.username, hours=TOKEN_LIFETIME // 3600, link=f"{self._url}#token={token}"
            )
            self._queue.add(Mail(found.email, MAIL_SUBJECT, text))

    async def try_send_link(self, user_id: UUID, origin: RequestOrigin) -> None:
        """Mail a link after a change that is stored already, so that a failure is logged only."""
        try:
            await self.send_link(user_id, origin)
        except DependencyUnavailable:
            log.warning("email_verification_not_sent", user=str(user_id))

    async def confirm(self, token: str, origin: RequestOrigin) -> None:
        """Mark the address that a token was mailed to as verified; raises ValidationFailed."""
        if not await self._store.use(secret_tokens.digest(token), origin):
            reason = "The token is unknown, used or expired, or the address was changed. Request a new one."
            raise ValidationFailed([FieldError("/verification_token", "invalid", reason)])
