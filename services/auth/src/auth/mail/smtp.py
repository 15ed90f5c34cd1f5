"""SMTP mailer: the client of the standard library in one thread."""

import asyncio
import contextlib
import smtplib
import ssl
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from auth.mail.mailer import MailDeliveryError

SMTP_TIMEOUT = 10.0
"""Seconds for each step of the SMTP dialogue."""
SMTP_PORT, SMTPS_PORT = 25, 465


class SmtpMailer:
    """Sends one mail at a time over ``smtp://`` or ``smtps://user:password@host:port``.

    TLS is used wherever the server offers it. Credentials are sent only over TLS.
    """

    def __init__(
        self, url: str, sender: str, *, timeout: float = SMTP_TIMEOUT, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url, self._sender, self._timeout = urlsplit(url), sender, timeout
        self._tls = tls or ssl.create_default_context()
        self._executor = ThreadPoolExecutor(1, "smtp")

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail; raises MailDeliveryError."""
        try:
            message = _message(self._sender, to, subject, text)
            await asyncio.get_running_loop().run_in_executor(self._executor, self._send, message)
        except (OSError, ValueError, smtplib.SMTPException) as error:
            raise MailDeliveryError(_reason(error)) from None

    def close(self) -> None:
        """Stop the thread after the mail in progress."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _send(self, message: EmailMessage) -> None:
        with contextlib.closing(self._connect()) as server:
            if self._url.username:
                server.login(unquote(self._url.username), unquote(self._url.password or ""))
            server.send_message(message)
            # The server has accepted the mail, so a failing QUIT does not matter.
            with contextlib.suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _connect(self) -> smtplib.SMTP:
        host = self._url.hostname or ""
        if self._url.scheme == "smtps":
            port = self._url.port or SMTPS_PORT
            return smtplib.SMTP_SSL(host, port, timeout=self._timeout, context=self._tls)
        server = smtplib.SMTP(host, self._url.port or SMTP_PORT, timeout=self._timeout)
        try:
            self._secure(server)
        except BaseException:
            server.close()
            raise
        return server

    def _secure(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if server.has_extn("starttls"):
            server.starttls(context=self._tls)
        elif self._url.username:
            raise smtplib.SMTPNotSupportedError("no TLS")


def _message(sender: str, to: str, subject: str, text: str) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    if str(message["To"]) != to:
        raise ValueError("The header names another address.")
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=sender.rpartition("@")[2].rstrip(">"))
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    return message


def _reason(error: Exception) -> str:
    """Return the reason without the reply of the server, which can contain addresses."""
    code = getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
