"""Queue of mails that are sent in the background, so that no request waits for the mail server."""

import asyncio
from dataclasses import dataclass

import structlog

from auth.mail.mailer import MailDeliveryError, Mailer

log = structlog.get_logger()

QUEUE_CAPACITY = 1000


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one address."""

    to: str
    subject: str
    text: str


class MailQueue:
    """Sends mails one after the other. Mails that wait when the process stops are lost."""

    def __init__(self, mailer: Mailer, *, capacity: int = QUEUE_CAPACITY) -> None:
        self._mailer = mailer
        self._queue: asyncio.Queue[Mail] = asyncio.Queue(capacity)

    def add(self, mail: Mail) -> None:
        """Queue a mail; a full queue drops it with a warning in the log."""
        try:
            self._queue.put_nowait(mail)
        except asyncio.QueueFull:
            log.warning("mail_dropped", subject=mail.subject)

    async def deliver(self) -> None:
        """Send the queued mails, forever."""
        while True:
            mail = await self._queue.get()
            try:
                await self._mailer.send(mail.to, mail.subject, mail.text)
            except MailDeliveryError as error:
                log.warning("mail_failed", subject=mail.subject, reason=str(error))
