"""The way out for mails."""

from typing import Protocol


class MailNotSent(Exception):
    """The mail server cannot be reached or refused; the text can be logged."""


class Mailer(Protocol):
    """The way out for mails."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail; raises MailNotSent."""
        ...
