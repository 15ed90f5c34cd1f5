"""The interface for sending mail."""

from typing import Protocol


class MailDeliveryError(Exception):
    """The mail server is unreachable or refused the mail; the message is safe to log."""


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail; raises MailDeliveryError."""
        ...
